"""Random traces, and the shortest one that breaks a law.

A case is drawn as numbers only: one code for the setup of the object, then one for each move. A
*play* turns them into calls, choosing among what makes sense in the state it is in, so that every
list of codes is a legal trace and a shorter list of smaller numbers is a simpler one:

    def play(context: CheckContext, case: Case) -> None:      # raises Broken
        judge = Judge(context, num_blocks=case.setup.pick([8, 4, 16]))
        for move in case.moves:
            judge.extend(move.pick(judge.living), move.number(0, 5))

    explore(context, play, cases=100)

Put the simplest option first: shrinking goes there.

Cases come from a seeded generator of our own. (Hypothesis likes to try small variations of what it
has tried: of 140 traces of twelve moves, it drew some thirty that differ in more than their last
calls. It also takes a third of a second to import.) Once a case has broken the law, hypothesis
makes it shorter: it is imported then, and only then. In the end `graders.checking.shrinking` leaves
out what is left to leave out.
"""

from __future__ import annotations

import contextlib
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from graders.checking.check_context import CheckContext
from graders.checking.failure import Broken
from graders.checking.shrinking import shorten, size
from graders.result import Outcome, Reason
from graders.sandbox.isolation import MachineFault

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

    Draw = Callable[[SearchStrategy[int]], int]

T = TypeVar("T")
BITS, FIELDS = 6, 4
SPAN = 1 << BITS  # a pick is a number below this
# a move is drawn as one number below this: four picks, the others follow from it
CODE = 1 << BITS * FIELDS
MIXER = 0x9E3779B1
CEILING = (1 << 16) - 1  # far above SPAN: most draws below it lower nothing
ATTEMPTS = 60
SHORT, READABLE = 6, 400  # steps and characters of a story that need not be made shorter
SHRINKING = 0.8  # seconds of our CPU time spent on making a story shorter
CALLING = 30  # cases that are played to see which of a part's methods a law calls
WAITING = 10.0  # and of the clock
HANGING = 4.0  # of the clock when the part hangs
KEPT = (
    " (The same story passes in a fresh process: is something kept between objects, in a class attribute, a module"
    " variable or a default argument, or is something random?)"
)
BRIEF = {"cpu": 0.3, "wall": 5.0}  # while the story of a hanging part is made shorter


class Picks:
    """The numbers of one move: each call uses up one. A move of code 0 is the simplest: all its
    numbers are 0."""

    def __init__(self, code: int) -> None:
        self._code = code
        self._rest = code
        self._left = FIELDS

    def _next(self) -> int:
        if not self._left:
            self._code = self._rest = self._code * MIXER % CODE
            self._left = FIELDS
        self._left -= 1
        self._rest, number = divmod(self._rest, SPAN)
        return number

    def pick(self, options: Sequence[T]) -> T:
        """One of `options`, which is not empty and holds at most SPAN."""
        return options[self._next() % len(options)]

    def number(self, low: int, high: int) -> int:
        """low <= number <= high."""
        width = high - low + 1
        number = self._next() if width <= SPAN else self._next() + SPAN * self._next()
        return low + number % width


@dataclass(frozen=True, slots=True)
class Case:
    """One trace as drawn: a code for the setup, and one for each move."""

    codes: tuple[int, ...]

    @classmethod
    def draw(cls, chance: random.Random, moves: int) -> Case:
        """A random case of at most `moves` moves, more often a long one."""
        count = max(chance.randint(0, moves), chance.randint(0, moves))
        return cls(tuple(chance.randrange(CODE) for _ in range(1 + count)))

    @property
    def setup(self) -> Picks:
        return Picks(self.codes[0])

    @property
    def moves(self) -> Iterator[Picks]:
        return (Picks(code) for code in self.codes[1:])


Play = Callable[[CheckContext, Case], None]
Fixed = Callable[[CheckContext], None]


def explore(
    context: CheckContext,
    play: Play,
    *,
    cases: int = 100,
    moves: int = 12,
    first: Fixed | None = None,
) -> None:
    """Play `cases` random traces of at most `moves` moves; raises the Broken with the shortest
    story found.

    first: stories that are the same in every run, tried before. When one of them breaks the law and
    is not short, a random one may be shorter.
    """
    try:
        _explore(context, play, cases, moves, first)
    except Broken as broken:
        if broken.reason is Reason.UNWRITTEN:
            _call_all(context, play, moves)
        raise


def _call_all(context: CheckContext, play: Play, moves: int) -> None:
    """Play on although something is not written, so that the context knows what else the law's
    calls use."""
    chance = random.Random(context.seed)
    for _ in range(CALLING):
        with contextlib.suppress(Broken):
            play(context, Case.draw(chance, moves))


def _explore(
    context: CheckContext, play: Play, cases: int, moves: int, first: Fixed | None
) -> None:
    told = _told(context, first) if first else None
    search, chance = _Search(context, play), random.Random(context.seed)
    for _ in range(cases):
        context.cases += 1
        case = Case.draw(chance, moves)
        try:
            search.try_case(case)
        except Broken as broken:
            context.progress("is broken: looking for the shortest story")
            # others need no shorter story
            if broken.outcome is not Outcome.INVALID and broken.reason is Reason.LAW:
                _shorten(search, case)
            break
    if search.trouble is not None:
        raise search.trouble
    if search.best is not None:
        found = search.verdict()
        raise told if told is not None and size(told) <= size(found) else found
    if told is not None:
        raise told


def _told(context: CheckContext, first: Fixed) -> Broken | None:
    """What breaks in the fixed stories, made shorter, if it is long still; raised at once when it
    is short enough."""
    try:
        first(context)
    except Broken as broken:
        if broken.reason is Reason.UNWRITTEN:
            raise
        if broken.outcome is Outcome.FAIL and _passes_afresh(context, broken):
            broken.message += KEPT
            raise
        told = _whittled(context, broken)
        if told.outcome is not Outcome.FAIL or _is_short(told):
            raise told from None
        return told
    return None


def _is_short(broken: Broken) -> bool:
    steps, characters, _ = size(broken)
    return steps <= SHORT and characters <= READABLE


def _whittled(context: CheckContext, broken: Broken) -> Broken:
    """A shorter story of the same kind that breaks the law in a fresh worker too; else the one that
    there was."""
    shorter = shorten(broken, seconds=SHRINKING / 2)
    return shorter if shorter is broken or not _passes_afresh(context, shorter) else broken


def _passes_afresh(context: CheckContext, broken: Broken) -> bool:
    context.workers.fresh()
    try:
        if broken.trace is not None:
            broken.trace.judge()
    except Broken:
        return False
    return broken.trace is not None


class _Search:
    """Plays cases and keeps the shortest story."""

    def __init__(self, context: CheckContext, play: Play) -> None:
        self.context = context
        self.play = play
        self.best: Broken | None = None
        self.case: Case | None = None
        self.trouble: MachineFault | None = None
        self.found = (0.0, 0.0)

    def try_case(self, case: Case) -> None:
        if self.trouble is not None or self.tired:
            return
        try:
            self.play(self.context, case)
        except Broken as broken:
            self._keep(broken, case)
            raise
        except MachineFault as trouble:
            self.trouble = trouble

    @property
    def tired(self) -> bool:
        """Enough time was spent on making the story shorter."""
        if self.best is None:
            return False
        spent, waited = time.process_time() - self.found[0], time.monotonic() - self.found[1]
        return spent > SHRINKING or waited > (
            HANGING if self.best.outcome is Outcome.TIMEOUT else WAITING
        )

    def _keep(self, broken: Broken, case: Case) -> None:
        if self.best is None:
            self.found = time.process_time(), time.monotonic()
        if self.best is None or _steps(broken) <= _steps(self.best):
            self.best, self.case = broken, case
        if broken.outcome is Outcome.TIMEOUT:
            self.context.ask_limits = BRIEF

    def verdict(self) -> Broken:
        """The best story, told again in a fresh worker: what was found only among leftovers says
        so."""
        assert self.best is not None and self.case is not None
        self.context.ask_limits = {}
        if self.best.outcome is not Outcome.FAIL:
            return self.best
        self.context.workers.fresh()
        try:
            self.play(self.context, self.case)
        except Broken:
            return _whittled(self.context, self.best)
        self.best.message += KEPT
        return self.best


def _steps(broken: Broken) -> int:
    return len(broken.story.steps) if broken.story else 0


def _shorten(search: _Search, case: Case) -> None:
    """Let hypothesis look for simpler cases that break the law too: first moves left out, then
    numbers made smaller.

    It shrinks what it has drawn itself. So it draws what to leave out and how far to lower each
    number, such that most draws leave the case as it is, and what it calls simpler is a simpler
    case.
    """
    from hypothesis import strategies

    ceiling = strategies.integers(0, CEILING)

    @strategies.composite
    def shorter(draw: Draw) -> Case:
        first, *rest = case.codes
        return Case((first, *(code for code in rest if draw(ceiling))))

    _search_through(shorter(), search)
    best = search.case or case

    @strategies.composite
    def simpler(draw: Draw) -> Case:
        first, *rest = (_lowered(code, lambda: draw(ceiling)) for code in best.codes)
        return Case((first, *(code for code in rest if draw(ceiling))))

    _search_through(simpler(), search)


def _search_through(cases: SearchStrategy[Case], search: _Search) -> None:
    import hypothesis
    from hypothesis.configuration import set_hypothesis_home_dir

    set_hypothesis_home_dir(Path(tempfile.gettempdir(), "kitchen-hypothesis"))

    @hypothesis.seed(search.context.seed)
    @hypothesis.settings(
        max_examples=ATTEMPTS,
        database=None,
        deadline=None,
        phases=(hypothesis.Phase.generate, hypothesis.Phase.shrink),
        suppress_health_check=list(hypothesis.HealthCheck),
        report_multiple_bugs=False,
        verbosity=hypothesis.Verbosity.quiet,
    )
    @hypothesis.given(cases)
    def run(case: Case) -> None:
        search.try_case(case)

    with contextlib.suppress(Broken, hypothesis.errors.Flaky):
        run()


def _lowered(code: int, ceiling: Callable[[], int]) -> int:
    """The code with each of its four numbers at most what `ceiling()` says."""
    numbers = [min(code >> BITS * field & SPAN - 1, ceiling()) for field in range(FIELDS)]
    return sum(number << BITS * field for field, number in enumerate(numbers))
