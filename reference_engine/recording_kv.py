"""The KV manager that a scheduler in the engine is given: it keeps a record to hold the plan
against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reference_engine.kv_manager import HeldPrompt, KVManager
from reference_engine.metrics import CacheChange
from reference_engine.parts import PartError
from reference_engine.request_state import RequestState, RunningRequests
from reference_engine.slots import Block, Copy


class RecordingKV(KVManager):
    """A `KVManager` that notes admissions, copies and departures since `open_step`, and refuses
    untrue tokens.

    admitted: cached length of each id admitted. copies: of each id extended. left: ids dropped.
    changes: of the prefix cache, until whoever reads them clears the list.
    """

    def __init__(
        self,
        *parts: Any,
        requests: Mapping[int, RequestState],
        running: RunningRequests,
        **sizes: Any,
    ) -> None:
        super().__init__(*parts, **sizes)
        self._requests = requests
        self._running = running
        self.changes: list[CacheChange] = []
        self.open_step()

    def open_step(self) -> None:
        """Begin a new page."""
        self.admitted: dict[int, int] = {}
        self.copies: dict[int, list[Copy]] = {}
        self.left: list[int] = []
        self.forked = {}

    def reserved(self, id: int) -> int:
        """Tokens that a request has slots for; 0 when it holds none."""
        return self._lengths.get(id, 0)

    @property
    def running(self) -> int:
        """Requests that hold blocks."""
        return len(self._lengths)

    def admit(self, id: int, tokens: Sequence[int], num_tokens: int) -> int | None:
        """See `KVManager`. Raises PartError when `tokens` are not the request's."""
        if list(tokens) != self._state_of(id).tokens:
            raise PartError(
                "scheduler", f"it admits request {id} with other tokens than its prompt and output"
            )
        cached = super().admit(id, tokens, num_tokens)
        if cached is not None:
            self.admitted[id] = cached
        return cached

    def extend(self, id: int, num_tokens: int) -> list[Copy] | None:
        """See `KVManager`."""
        copies = super().extend(id, num_tokens)
        if copies:
            self.copies.setdefault(id, []).extend(copies)
        return copies

    def truncate(self, id: int, num_tokens: int) -> None:
        """See `KVManager`. The blocks given up may be another's before this request is planned
        again."""
        super().truncate(id, num_tokens)
        self._running.shrink(self._state_of(id), self.table(id))

    def drop(self, id: int, tokens: Sequence[int]) -> None:
        """See `KVManager`. Raises PartError when `tokens` are not the request's, or have no KV."""
        state = self._state_of(id)
        if list(tokens) != state.tokens[: len(tokens)]:
            raise PartError(
                "scheduler", f"it offers tokens to the cache that are not those of request {id}"
            )
        computed = self.admitted.get(id, state.computed)
        if len(tokens) > computed:
            raise PartError(
                "scheduler",
                f"it offers {len(tokens)} tokens of request {id} to the cache; {computed} have KV",
            )
        super().drop(id, tokens)
        self.admitted.pop(id, None)
        self.copies.pop(id, None)
        self.forked.pop(id, None)
        self.left.append(id)
        self._running.leave(state)

    def give_up(self, held: HeldPrompt) -> None:
        """See `KVManager`."""
        self._running.list_held(held.table, -1)
        super().give_up(held)

    def _retain(self, id: int, first: int, new: Sequence[Block]) -> None:
        super()._retain(id, first, new)
        self.changes.append(CacheChange(tuple(new), id, first))

    def _release(self, evicted: Sequence[Block]) -> None:
        super()._release(evicted)
        self.changes.append(CacheChange(tuple(evicted)))

    def _keep(self, held: HeldPrompt) -> None:
        self._running.list_held(held.table, 1)
        super()._keep(held)

    def _state_of(self, id: int) -> RequestState:
        if id not in self._requests:
            raise PartError(
                "scheduler",
                f"it asks for blocks of request {id!r}, which is unknown or has finished",
            )
        return self._requests[id]
