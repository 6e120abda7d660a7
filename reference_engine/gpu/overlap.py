"""Planning while the device computes: tokens stay on the device and are read one step late.

Where every request that says something in a step is greedy and ends by count alone, the host need
not know the tokens to plan the next step. It commits a placeholder, plans and sends the next step,
in which the device puts its own token in the place of the placeholder, and reads the token while
that step runs. Requests with an EOS or a draw need their token first; steps with one of them, or
with speculation, run as always.

A placeholder is a negative number, stands at the end of `Request.output` for one step, and never
reaches a caller.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reference_engine.engine import Engine, Event
from reference_engine.gpu.readback import StepTokens
from reference_engine.gpu.runner import DeviceOutcome
from reference_engine.request_state import RequestState
from reference_engine.slots import Copy, Plan
from reference_engine.step_executor import Decoder


@dataclass(frozen=True, slots=True)
class UnreadTokens:
    """Tokens of one step that the host has not read: where each request keeps its placeholder."""

    said: StepTokens
    places: Mapping[int, tuple[RequestState, int]]

    def read(self) -> dict[int, int]:
        """Wait for the step; put each token in its place. {id: token}."""
        tokens, told = self.said.read(), dict[int, int]()
        for token, (id, (state, place)) in zip(tokens, self.places.items(), strict=True):
            state.tokens[place] = state.request.output[place - state.prompt] = told[id] = token
        return told


class OverlappedExecutor(Decoder):
    """A `Decoder` that sends a step before it reads the one before.

    late: the step sent last, if its tokens are unread. told: the tokens read in the last `run`, of
    the step before it.
    """

    late: UnreadTokens | None = None
    told: Mapping[int, int] = {}

    def run(self, plan: Plan, copies: Sequence[Copy]) -> dict[int, list[int]]:
        """Send the step, read the one before; what this one says, or placeholders for it."""
        self._runner.copy(copies)
        if not self._may_wait():
            self.read()
            return super().run(plan, ())
        outcome = self._runner.forward(self._batch())
        assert isinstance(outcome, DeviceOutcome)
        places = {}
        for chunk, span in self._work:
            if span.wanted:
                state = self._requests[chunk.id]
                places[chunk.id] = (state, len(state.tokens))
        self.read()
        self.late = UnreadTokens(outcome.said, places) if places else None
        return {id: [-row - 1] for row, id in enumerate(places)}

    def read(self) -> None:
        """Read the tokens of the step sent last, if they are unread."""
        self.told = self.late.read() if self.late else {}
        self.late = None

    def _may_wait(self) -> bool:
        """Whether nobody needs this step's tokens to plan the next."""
        states = (self._requests[chunk.id] for chunk, span in self._work if span.wanted)
        return self._speculator is None and all(
            state.rule.greedy and state.guessable and state.eos is None for state in states
        )


class OverlappedEngine(Engine):
    """An `Engine` on a GPU whose `step` returns what was said in the step before, where it can.

    It trusts its scheduler to treat tokens as numbers. `trace` is not kept. Everything else is as
    in `Engine`.
    """

    decoder_type = OverlappedExecutor
    _decoder: OverlappedExecutor

    def __init__(self, *arguments: Any, **options: Any) -> None:
        """As `Engine`. Raises ValueError for keep_trace."""
        if options.get("keep_trace"):
            raise ValueError(
                "a trace shows the tokens of each step, which an overlapped engine has not read yet"
            )
        super().__init__(*arguments, **options)
        self._held: list[Event] = []

    @property
    def idle(self) -> bool:
        """Every request has finished or was aborted, and all that was said has been told."""
        return not self._requests and not self._held

    def abort(self, id: int) -> None:
        """Forget a request, what it said last included. Raises KeyError for an id that is unknown
        or has finished."""
        super().abort(id)
        self._held = [event for event in self._held if event.id != id]

    def step(self) -> list[Event]:
        """Run one step; what was said up to the step before, and in this one where it is known."""
        held, self._held = self._held, []
        if self._failure is None and not self._requests:
            self._decoder.read()
            return self._told(held)
        fresh = super().step()
        told = self._told(held)
        if self._decoder.late is None:
            super()._deliver(fresh)
            return told + fresh
        self._held = fresh
        return told

    def _told(self, held: Sequence[Event]) -> list[Event]:
        """Events that were held back, with their tokens."""
        events = [
            Event(event.id, (self._decoder.told[event.id],), event.finished) for event in held
        ]
        super()._deliver(events)
        return events

    def _deliver(self, events: Sequence[Event]) -> None:
        """Nothing yet: `step` delivers what is known."""

    def _is_coming(self, id: int) -> bool:
        return super()._is_coming(id) or any(event.id == id for event in self._held)
