"""What requests do, written down before it is played: the whole trace goes to the driver in one go.

Who is there when somebody is to leave depends on the scheduler, so an abort names no id: the driver
picks among those present. What the model says depends on the request's text alone, so each request
brings all of it along (`will`), further than it should ever get.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from graders.simulation.scheduler_rules import EngineSetting
from graders.simulation.toy_model import TextNumbers

STRANGER = 99  # an id that nobody has
USUAL = EngineSetting()
DETAILS = ("watermark", "chunk", "lookahead", "policy", "cache", "offer")
FEWER = 4  # blocks that a pool is made smaller by, at most, to make a story shorter


@dataclass(frozen=True, slots=True)
class Newcomer:
    """A request as it is handed in. will: what the model would say after the prompt, without end."""

    id: int
    prompt: tuple[int, ...]
    max_new: int
    priority: int
    eos: int | None
    will: tuple[int, ...]

    @property
    def due(self) -> list[int]:
        """What has to come out."""
        said = list(self.will[: self.max_new])
        return said[: said.index(self.eos) + 1] if self.eos in said else said

    def __str__(self) -> str:
        prompt = f"{list(self.prompt)}" if len(self.prompt) <= 8 else f"<{len(self.prompt)} tokens>"
        words = f"Request(id={self.id}, prompt={prompt}, max_new={self.max_new}"
        return (
            words
            + f", priority={self.priority}" * bool(self.priority)
            + f", eos={self.eos}" * (self.eos is not None)
            + ")"
        )


@dataclass(frozen=True, slots=True)
class EngineMove:
    """One call: "add" (newcomer), "again" (newcomer under the id of somebody present), "anew"
    (under that of whoever left last), "abort", "plan", "commit", "drain" (steps until nobody is
    there, at most `number`), "fork", "join", "rest". number: who of those present."""

    method: str
    number: int = 0
    newcomer: Newcomer | None = None

    def to_wire(self) -> list[Any]:
        newcomer = self.newcomer
        if newcomer is None:
            return [self.method, self.number]
        request = [
            newcomer.id,
            newcomer.prompt,
            newcomer.max_new,
            newcomer.priority,
            newcomer.eos,
            newcomer.will,
        ]
        return [self.method, self.number, *request]


class EngineScript:
    """A setting and the moves so far. guesses: how many tokens beyond the first the i-th sampling
    chunk is told."""

    def __init__(
        self, setting: EngineSetting, toy: TextNumbers | None = None, guesses: Sequence[int] = (0,)
    ) -> None:
        self.setting = setting
        self.toy = toy or TextNumbers()
        self.guesses = tuple(min(count, setting.lookahead) for count in guesses)
        self.moves: list[EngineMove] = []

    def add(
        self,
        id: int,
        prompt: Sequence[int],
        max_new: int,
        *,
        priority: int = 0,
        eos: int | None = None,
    ) -> None:
        self._note("add", 0, self._newcomer(id, prompt, max_new, priority, eos))

    def again(self, number: int, prompt: Sequence[int], max_new: int) -> None:
        """A newcomer who claims the id of somebody who is there; nothing happens when nobody is."""
        self._note("again", number, self._newcomer(STRANGER, prompt, max_new, 0, None))

    def anew(self, id: int, prompt: Sequence[int], max_new: int, *, eos: int | None = None) -> None:
        """A newcomer under the id of whoever left last; under `id` when nobody has."""
        self._note("anew", 0, self._newcomer(id, prompt, max_new, 0, eos))

    def abort(self, number: int) -> None:
        """Somebody of those present leaves; a stranger is to when nobody is present."""
        self._note("abort", number)

    def plan(self) -> None:
        """Nothing happens when nobody is present."""
        self._note("plan")

    def commit(self) -> None:
        """Nothing happens without a plan."""
        self._note("commit")

    def fork(self, number: int) -> None:
        """Somebody else shares the blocks of one of those who hold some; nothing happens when
        nobody does."""
        self._note("fork", number)

    def join(self) -> None:
        """Whoever shared blocks gives them back."""
        self._note("join")

    def rest(self) -> None:
        """A step that nobody needs; nothing happens when somebody is present."""
        self._note("rest")

    def step(self) -> None:
        self.plan()
        self.commit()

    def drain(self) -> None:
        """Serve everybody to the end; after so many steps that nobody can say it just takes long,
        give up."""
        newcomers = [move.newcomer for move in self.moves if move.newcomer is not None]
        self._note(
            "drain",
            20 + 4 * sum(len(request.prompt) + max(0, request.max_new) for request in newcomers),
        )

    def shorter(self, played: int) -> Iterator[EngineScript]:
        """The first `played` moves without one of them; then in a simpler setting, or with less to
        say for somebody."""
        moves = self.moves[:played]
        unfinished = _unfinished(moves)
        for left_out in reversed(range(played)):
            fewer = moves[:left_out] + moves[left_out + 1 :]
            if _unfinished(fewer) <= unfinished:
                yield self._of(fewer)
        for setting in self._settings(moves):
            yield self._of(moves, setting)
        for at, move in enumerate(moves):
            for request in self._simpler(move.newcomer) if move.newcomer else ():
                yield self._of([*moves[:at], replace(move, newcomer=request), *moves[at + 1 :]])

    def _of(
        self, moves: Sequence[EngineMove], setting: EngineSetting | None = None
    ) -> EngineScript:
        script = EngineScript(setting or self.setting, self.toy, self.guesses)
        script.moves = list(moves)
        return script

    def _settings(self, moves: Sequence[EngineMove]) -> Iterator[EngineSetting]:
        """A few blocks less, or one thing as usual; nothing where somebody who was refused might be
        let in."""
        requests = [move.newcomer for move in moves if move.newcomer]
        least = self.setting.watermark + 2  # a pool that holds somebody
        blocks = range(
            self.setting.num_blocks - 1, max(least, self.setting.num_blocks - FEWER) - 1, -1
        )
        smaller = [replace(self.setting, num_blocks=count) for count in blocks]
        plainer = [replace(self.setting, **{name: getattr(USUAL, name)}) for name in DETAILS]
        for setting in (
            (*smaller, *plainer)
            if all(_fits(request, self.setting) for request in requests)
            else ()
        ):
            if setting != self.setting and all(_fits(request, setting) for request in requests):
                yield setting

    def _simpler(self, request: Newcomer) -> Iterator[Newcomer]:
        """Newcomers that want a little less; none for a request that has to be refused, which would
        then be let in."""
        if not _fits(request, self.setting):
            return
        prompts = {
            request.prompt[: len(request.prompt) // 2],
            request.prompt[:-1],
            request.prompt,
        } - {()}
        for prompt in sorted(prompts, key=len):
            for max_new in sorted(
                {max(1, request.max_new // 2), max(1, request.max_new - 1), request.max_new}
            ):
                for eos in dict.fromkeys((None, request.eos)):
                    simpler = self._newcomer(request.id, prompt, max_new, request.priority, eos)
                    if simpler != request:
                        yield simpler

    def _newcomer(
        self, id: int, prompt: Sequence[int], max_new: int, priority: int, eos: int | None
    ) -> Newcomer:
        length = max(0, max_new) + self.setting.lookahead + 1
        will = self.toy.say(prompt, length, None) if prompt else []
        return Newcomer(id, tuple(prompt), max_new, priority, eos, tuple(will))

    def _note(self, method: str, number: int = 0, newcomer: Newcomer | None = None) -> None:
        self.moves.append(EngineMove(method, number, newcomer))


def _unfinished(moves: Sequence[EngineMove]) -> int:
    """How often a plan is asked for before the last one was committed, which no engine does."""
    planned, count = False, 0
    for move in moves:
        count += planned and move.method in ("plan", "drain", "rest")
        planned = move.method == "plan" or (
            planned and move.method not in ("commit", "drain", "rest")
        )
    return count


def _fits(request: Newcomer, setting: EngineSetting) -> bool:
    """Whether somebody is let in, wherever nobody has the same id."""
    longest = len(request.prompt) + request.max_new + setting.lookahead
    return bool(request.prompt) and request.max_new >= 1 and longest <= setting.capacity
