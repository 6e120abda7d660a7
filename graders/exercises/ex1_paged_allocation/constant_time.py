"""Law 1.10: what a call costs must not grow with the pool.

The same calls on three pools, the second some 8 times larger than the first and the third some 130
times, almost all free, almost used up by one long sequence, and cut up among thousands of short
ones, with a few free blocks far apart. On the first two the bytecode instructions of every call are
counted: a loop over the pool in Python shows in them exactly. A loop in C (`min`, `sum`, `in` on a
list, a copy) shows in the CPU time of the worker process, read from outside of it, the cheapest of
several rounds, with the garbage collector still: only ratios decide, never a time. They are ratios
to the same calls on the small pool, and to a copy of a list as long as the large one, made here.
What costs about as little as arithmetic on one long integer, but has no excuse, moving a whole list
by pop(0), is found by looking at the list. The calls are then made once more in the way of all
other laws, one answer each, so that a part gains nothing by knowing when it is measured. All sizes
are drawn from the seed.

What may cost in proportion to something may not cost its square: the constructor (the pool), a fork
or a free (the table).
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from graders.checking.call_recorder import CallRecorder
from graders.checking.check_context import CheckContext
from graders.checking.complexity import (
    MOST_PASSES,
    SLICE,
    Cost,
    Growth,
    cheapest,
    looking_at_each,
    medians,
)
from graders.checking.failure import Broken, Step
from graders.checking.replies import Raised, shown
from graders.result import Outcome

FREE, USED, SCATTERED = (
    "almost all free",
    "almost used up by one sequence",
    "cut up among many sequences",
)
COUNTED = 3.0  # times as many instructions allowed: a heap written in Python grows with log n
TIMED = {"middle": (5.0, 8.0), "large": (3.0, 0.8)}  # see `_too_dear`
SQUARE = 3.0  # times more instructions than in proportion allowed
PROPORTION = {"middle": 5.0, "large": 16.0}
"""Times more time than in proportion. What lies scattered leaves one cache after the other, and arithmetic on an
integer with a bit for every block costs 11 times more on the large pool, `pop(0)` for every block 31 times."""
BEYOND = 4.0  # so many times more than allowed is believed at once
NEAR = 0.3  # of what is allowed: right parts lie below, the small pool measured well
SETTLING = 6  # times at most
ROUNDS = 4
REPEATS = 3  # countings of a call, and measurements of answered ones
ASKING = (
    5 * SLICE
)  # beside which the question itself, about a slice when a worker has rested, is little
SMALL = 2  # more measurements of the small pool
PASSES = 64  # of a loop, at first
MARGIN = 1.5  # times the least that a measurement takes, foreseen from a shorter one
FASTER = 16  # times more passes at once at most
LONG = 20  # slices: what takes so long is not measured twice
BUILT = "BlockManager()"
ANSWERED = 16  # passes of ordinary calls in one measurement
LEAST = 5e-6  # seconds: a question and its answer are never cheaper
BUILDING = 5e-4  # seconds: a constructor is never taken to be cheaper
COUNTED_AT_MOST = 1 << 17  # instructions of one call
WITHIN = 16  # extends of the long sequence that stay within its last block
CROWD = 10  # ids of the many short sequences begin here
ASK_LIMITS = {
    "cpu": 20.0,
    "wall": 120.0,
}  # for one question: a pool is filled in tenths of a second
Call = tuple[str, list[Any]]
Loops = dict[str, tuple[Call, ...]]  # name -> calls that leave the pool as it was


@dataclass(frozen=True, slots=True)
class Plan:
    """What is drawn from the seed. sizes: blocks of the three pools. block: tokens. spare: blocks
    that stay free when a pool is almost used up. holes: where in the crowd, from 0 to 1."""

    small: int
    middle: int
    large: int
    block: int
    spare: int
    holes: tuple[float, ...]

    @classmethod
    def draw(cls, seed: int) -> Plan:
        chance = random.Random(seed)
        small = chance.randrange(600, 650)  # the large pool has more than 65,536 blocks
        holes = sorted(chance.random() for _ in range(chance.randrange(8, 14)))
        block = chance.randrange(200, 700)
        factors = chance.uniform(7, 9), chance.uniform(110, 130)
        middle, large = (int(small * factor) for factor in factors)
        return cls(small, middle, large, block, chance.randrange(12, 24), tuple(holes))

    @property
    def short(self) -> int:
        """Tokens of sequence 1: three blocks, the last not quite full."""
        return 3 * self.block - 8

    def loops(self) -> Loops:
        """On sequence 1."""
        short, block = self.short, self.block
        return {
            "admit, free": (("admit", [2, 1]), ("free", [2])),
            "extend, truncate": (("extend", [1, 3 * block + 1]), ("truncate", [1, short])),
            "fork, extend, free": (("fork", [1, 2]), ("extend", [2, short + 1]), ("free", [2])),
            "can_admit, blocks_needed": (("can_admit", [1]), ("blocks_needed", [1, short + 1])),
            "num_free, length, table, ref": (
                ("num_free", []),
                ("length", [1]),
                ("table", [1]),
                ("ref", [1]),
            ),
        }


def _blocks(value: Any, count: int) -> bool:
    return type(value) is list and [type(block) for block in value] == [int] * count


RETURNED: dict[
    str, Callable[[list[Any], Plan], bool]
] = {  # whether the calls of a loop returned this
    "admit, free": lambda values, _: _blocks(values[0], 1) and values[1] == values[0],
    "extend, truncate": lambda values, _: _blocks(values[1], 1) and values[0] == [values[1], []],
    "fork, extend, free": lambda values, _: (
        values[0] is None
        and _blocks(values[2], 1)
        and type(values[1]) is list
        and values[1][:1] == [values[2]]
    ),
    "can_admit, blocks_needed": lambda values, _: repr(values) == "[True, 0]",
    "num_free, length, table, ref": lambda values, plan: values[1] == plan.short,
}


DUE = {
    "admit, free": "one new block, and the same one given back",
    "extend, truncate": "([one new block], []), and the same one given back",
    "fork, extend, free": "None, ([a fresh block], [Copy]), and the fresh one given back",
    "can_admit, blocks_needed": "True and 0",
    "num_free, length, table, ref": "the length as second",
}


def constant_time(context: CheckContext) -> None:
    """Raise Broken for calls that cost too many times more on a larger pool, in whatever state it
    is."""
    plan = Plan.draw(context.seed)
    context.ask_limits = dict(ASK_LIMITS)
    try:
        with CallRecorder(context, "block_manager", "bm").still():
            Pool(context, plan, plan.middle, FREE).moves_no_list()
            for state in (FREE, USED, SCATTERED):
                _Comparison(context, plan, state).judge()
    finally:
        context.ask_limits = {}


class _Comparison:
    """The three pools in one state."""

    def __init__(self, context: CheckContext, plan: Plan, state: str) -> None:
        self._context = context
        self._plan = plan
        self._state = state
        self._look = looking_at_each(plan.large)
        self._small: dict[
            tuple[str, str], list[Cost]
        ] = {}  # (how it is measured, loop): on the smallest pool

    def judge(self) -> None:
        small = self._filled(self._plan.small)
        for how in Pool.WAYS:
            for loop in small.loops(how):
                self._small[how, loop] = [cost for _, cost in small.costs(how, loop)]
                for _ in range(
                    SMALL if "timed" in how else 0
                ):  # all is held against these: they must be the least
                    self._small[how, loop] = _cheaper(
                        self._small[how, loop], small.costs(how, loop)
                    )
        middle = self._filled(self._plan.middle)
        for how in ("building", "counted", "timed", "counted in proportion", "timed in proportion"):
            self._compare(middle, how)
        large = self._filled(self._plan.large)
        for how in ("building", "timed", "timed in proportion", "answered"):
            self._compare(large, how)
        if self._state == USED:
            large.copies_the_right_block()

    def _compare(self, pool: Pool, how: str) -> None:
        """Raise Broken if something costs too much there. Times are taken again before they are
        believed."""
        for loop in pool.loops(how):
            large = pool.costs(how, loop)
            self._settle(how, loop, large, pool)
            for number in range(ROUNDS):
                found = self._dearest(how, loop, large)
                if not self._too_dear(found, how, pool):
                    break
                if (
                    "counted" in how
                    or number == ROUNDS - 1
                    or self._too_dear(found, how, pool, BEYOND)
                ):
                    self._grows(found, loop in pool.of_the_long_sequence)
                again = self._filled(self._plan.small).costs(how, loop)
                self._small[how, loop] = _cheaper(self._small[how, loop], again)
                pool.fill()
                named = zip(
                    large, _cheaper([cost for _, cost in large], pool.costs(how, loop)), strict=True
                )
                large = [(what, cost) for (what, _), cost in named]
            self._context.cases += 1

    def _settle(self, how: str, loop: str, large: list[tuple[str, Cost]], pool: Pool) -> None:
        """Time what lies below the bound and not far below it on the small pool again: all is held
        against that."""
        rounds, timed = 0, how.startswith("timed") and "proportion" in how
        while rounds < SETTLING and timed and self._is_near(how, loop, large, pool):
            again = self._filled(self._plan.small).costs(how, loop)
            self._small[how, loop] = _cheaper(self._small[how, loop], again)
            rounds += 1
        if rounds:
            pool.fill()

    def _is_near(self, how: str, loop: str, large: list[tuple[str, Cost]], pool: Pool) -> bool:
        found = self._dearest(how, loop, large)
        return self._too_dear(found, how, pool, NEAR) and not self._too_dear(found, how, pool)

    def _too_dear(self, growth: Growth, how: str, pool: Pool, beyond: float = 1.0) -> bool:
        """Whether it costs so many times more than it may.

        Time: some times more than on the small pool, and more by some share of what a look at every
        block costs. Caches make cheap calls many times dearer, but by little; beside a dear call a
        loop in C is few times dearer, but by a look at least. Arithmetic on one integer with a bit
        for every block is a fifth of one, `pop` of a scattered set half of one: these are let pass.
        """
        if "counted" in how:
            return growth.exceeds(beyond * (COUNTED if how == "counted" else SQUARE))
        which = "middle" if pool.num_blocks == self._plan.middle else "large"
        if growth.linear:
            return growth.exceeds(beyond * PROPORTION[which])
        times, looks = TIMED[which]
        least = looks * self._look * pool.num_blocks / self._plan.large
        return growth.exceeds(beyond * times) and growth.more > beyond * least

    def _dearest(self, how: str, loop: str, large: list[tuple[str, Cost]]) -> Growth:
        growths = [
            Growth(what, small, cost, linear="proportion" in how or how == "building")
            for small, (what, cost) in zip(self._small[how, loop], large, strict=True)
        ]
        return max(growths, key=lambda growth: growth.times)

    def _filled(self, num_blocks: int) -> Pool:
        pool = Pool(self._context, self._plan, num_blocks, self._state)
        pool.fill()
        return pool

    def _grows(self, growth: Growth, of_table: bool) -> NoReturn:
        recorder = CallRecorder(self._context, "block_manager", "bm")
        for cost in (growth.small, growth.large):
            recorder.steps.append(
                Step(f"bm = BlockManager({cost.size}, {self._plan.block}), {self._state}")
            )
            recorder.steps.append(
                Step(f"{growth.what}: {cost}{' of CPU time' if cost.unit == 'µs' else ''}")
            )
        message = f"`{growth.what}` costs {growth.dearer} as much on a pool {growth.larger} larger"
        message += f" ({growth.small} with {growth.small.size} blocks, {growth.large} with {growth.large.size}): "
        message += _why(growth, of_table)
        method = "__init__" if growth.what == BUILT else growth.what.split()[0].strip(",")
        recorder.broken(message, got=f"{growth.dearer} as much", expected=growth.due, method=method)


def _cheaper(before: list[Cost], again: list[tuple[str, Cost]]) -> list[Cost]:
    """Of the same calls, measured twice."""
    return [cheapest((cost, more)) for cost, (_, more) in zip(before, again, strict=True)]


class Pool:
    """A block manager of so many blocks in a state, with a short sequence 1.

    WAYS: how a loop of calls can be measured; "in proportion": what may grow with the table it is
    about.
    """

    WAYS = (
        "building",
        "counted",
        "timed",
        "counted in proportion",
        "timed in proportion",
        "answered",
    )

    def __init__(self, context: CheckContext, plan: Plan, num_blocks: int, state: str) -> None:
        self._context = context
        self._plan = plan
        self.num_blocks = num_blocks
        self._state = state
        self._recorder = CallRecorder(context, "block_manager", "bm")
        self._table: list[int] = []
        self._building = 0.0
        blocks = num_blocks - 1 - 3 - plan.spare
        self._long = (
            blocks - 1
        ) * plan.block + 1  # tokens of a sequence that takes almost all, one in its last block

    def fill(self) -> None:
        try:
            self._fill()
        except Broken as broken:
            raise self._too_slow(broken) if broken.outcome is Outcome.TIMEOUT else broken from None

    @property
    def of_the_long_sequence(self) -> set[str]:
        """The loops whose calls are about the sequence that takes almost all blocks."""
        return {name for name, calls in self._loops().items() if calls[0][1][:1] == [3]}

    def loops(self, how: str) -> list[str]:
        """Names of the loops that are measured in this way."""
        if how == "building":
            return [BUILT]
        chosen = (
            self._linear()
            if "proportion" in how
            else self._plan.loops()
            if how == "answered"
            else self._loops()
        )
        return list(chosen)

    def costs(self, how: str, loop: str) -> list[tuple[str, Cost]]:
        """What was measured, and what it cost: of counted loops every call, of timed ones the loop."""
        if how == "building":
            return [(BUILT, self._cost(max(BUILDING, self._building)))]
        if how == "answered":
            return [(loop, self._answered(loop, self._plan.loops()[loop]))]
        linear = "proportion" in how
        if linear and how.startswith("timed") and self._state == FREE:
            self._each_its_own(self._call("admit", [4, self._long]))
            self._call("free", [4])
        calls = (self._linear() if linear else self._loops())[loop]
        if how.startswith("timed"):
            return [(loop, self._pass(calls, *((1, ASKING) if linear else (PASSES, SLICE))))]
        repeats = 1 if linear else REPEATS
        counts = medians(
            self._recorder.tally(calls * repeats, COUNTED_AT_MOST << 3 * linear), len(calls)
        )
        named = zip(calls, counts, strict=True)
        return [
            (
                f"{method}{loop[loop.find(' of ') :] if ' of ' in loop else ''}",
                Cost(self.num_blocks, count),
            )
            for (method, _), count in named
        ]

    def moves_no_list(self) -> None:
        """Raise Broken if one of the calls moves all elements of a list as long as the pool."""
        self.fill()
        for loop, calls in self._loops().items():
            for index in self._recorder.shifts(calls, self.num_blocks // 2):
                method = calls[index][0]
                self._recorder.method = method
                self._recorder.steps.append(Step(f"bm.{_written(*calls[index])}"))
                message = (
                    f"`{method}` moves every element of a list as long as the pool: pop(0), "
                    "insert(0, …) or the like?"
                )
                self._recorder.broken(
                    message, got="a whole list moved", expected=f"`{loop}` touches a few blocks"
                )

    def copies_the_right_block(self) -> None:
        """Raise Broken if a copy of a block that needs more than 16 bits is of another one."""
        table = self._call("table", [3])
        if type(table) is not list:
            return  # a sequence of its own, or too long to be told
        far = [place for place, block in enumerate(table) if type(block) is int and block >> 16]
        if not far:
            return  # more blocks of them are in use than have less bits
        length = far[0] * self._plan.block + 1
        self._call("truncate", [3, length])
        self._call("fork", [3, 4])
        answer = self._call("extend", [4, length + 1])
        new = answer[0] if type(answer) is list and answer else None
        due = [new, [{"copy": [table[far[0]], *new]}]] if type(new) is list else None
        if answer != due:
            got = shown(answer)
            message = f"`extend` returned {got} where block {table[far[0]]} is copied: "
            message += "are numbers of blocks cut to 16 bits?"
            self._recorder.broken(
                message, got=got, expected=f"a Copy from block {table[far[0]]}", method="extend"
            )
        self._context.cases += 1

    def _fill(self) -> None:
        worker = self._context.worker
        before = worker.cpu_seconds()
        written = f"BlockManager({self.num_blocks}, {self._plan.block})"
        raised = self._recorder.new((self.num_blocks, self._plan.block), {}, written)
        self._building = worker.cpu_seconds() - before
        if raised:
            self._recorder.unexpected(raised, "a block manager")
        self._call("admit", [1, self._plan.short])
        if self._state == USED:
            self._each_its_own(self._call("admit", [3, self._long]))
        elif self._state == SCATTERED:
            count = self.num_blocks - 1 - 3
            self._call("crowd", [CROWD, count], "admit")
            self._call(
                "leave", [sorted({CROWD + int(count * hole) for hole in self._plan.holes})], "free"
            )
        table = self._call("table", [1])
        self._table = table if type(table) is list else []

    def _each_its_own(self, blocks: Any) -> None:
        """Raise Broken if so many blocks are not as many different ones of the pool."""
        due = -(-self._long // self._plan.block)
        good = {block for block in blocks if type(block) is int} if type(blocks) is list else set()
        good = {block for block in good if 0 < block < self.num_blocks}
        if len(good) != due and type(blocks) is list and len(good) == len(blocks):
            message = (
                f"`admit` handed out {len(good):,} blocks for {self._long:,} tokens, of which "
                f"{self._plan.block} fill"
            )
            message += f" one: {due:,} are due. Is the quotient rounded up, and exactly so?"
            self._recorder.broken(
                message, got=f"{len(good):,} blocks", expected=f"{due:,}", method="admit"
            )
        if len(good) != due:
            message = f"`admit` handed out {len(good):,} different blocks of 1 to {self.num_blocks - 1:,} where "
            message += f"{due:,} are due: are numbers of blocks cut to 16 bits?"
            self._recorder.broken(
                message, got=f"{len(good):,} blocks", expected=f"{due:,}", method="admit"
            )

    def _call(self, method: str, args: list[Any], blamed: str = "") -> Any:
        reply, _ = self._recorder.call(method, args, _written(method, args), watch=None)
        self._recorder.method = blamed or method
        if isinstance(reply, Raised):
            self._recorder.unexpected(reply, "no exception")
        return reply.value

    def _loops(self) -> Loops:
        """Those that must cost the same on any pool."""
        head, block = self._table[:1], self._plan.block
        loops = {**self._plan.loops(), "retain, release": (("retain", [head]), ("release", [head]))}
        # Two at a time: whoever looks for a free block from where the last one was has to go on to
        # the next hole.
        loops["admit, admit, free, free"] = (
            ("admit", [2, 1]),
            ("admit", [4, 1]),
            ("free", [2]),
            ("free", [4]),
        )
        loops["can_admit, admit, free"] = (
            ("can_admit", [block + 1, head]),
            ("admit", [2, block + 1, head]),
            ("free", [2]),
        )
        if self._state == USED:
            within: list[Call] = [
                ("extend", [3, self._long + more]) for more in range(1, WITHIN + 1)
            ]
            loops["extend within a block"] = (*within, ("truncate", [3, self._long]))
            loops["extend, blocks_needed, truncate of a long table"] = (
                ("extend", [3, self._long + block]),
                ("blocks_needed", [3, self._long + block]),
                ("truncate", [3, self._long]),
            )
        return loops

    def _linear(self) -> Loops:
        if self._state == USED:
            half = self._long // 2
            return {
                "fork, free of a long table": (("fork", [3, 4]), ("free", [4])),
                "truncate, extend of a long table": (
                    ("truncate", [3, half]),
                    ("extend", [3, self._long]),
                ),
            }
        return (
            {"admit, free of a long table": (("admit", [4, self._long]), ("free", [4]))}
            if self._state == FREE
            else {}
        )

    def _answered(self, loop: str, calls: tuple[Call, ...]) -> Cost:
        """Ordinary calls, which return what they have to."""
        spent = []
        for _ in range(REPEATS):
            before = self._context.worker.cpu_seconds()
            returned = self._recorder.answered(calls, ANSWERED)
            spent.append(max(LEAST, (self._context.worker.cpu_seconds() - before) / ANSWERED))
        if not RETURNED[loop](returned, self._plan):
            words = ", ".join(map(shown, returned))
            message = f"`{loop}` returned {words} on a pool of {self.num_blocks} blocks of {self._plan.block} tokens."
            self._recorder.broken(message, got=words, expected=DUE[loop])
        return self._cost(min(spent))

    def _pass(self, calls: tuple[Call, ...], times: int, least: float) -> Cost:
        while (spent := self._recorder.again(calls, times)) < least and times < MOST_PASSES:
            more = max(MARGIN * least / spent, 2.0)
            times = min(MOST_PASSES, math.ceil(times * min(more, FASTER)))
        if spent < LONG * SLICE:
            spent = min(spent, self._recorder.again(calls, times))
        return self._cost(spent / times)

    def _cost(self, seconds: float) -> Cost:
        return Cost(self.num_blocks, seconds * 1e6, "µs")

    def _too_slow(self, broken: Broken) -> Broken:
        """A pool that takes seconds to fill: every block handed out costs a look at the others."""
        method, right = self._recorder.method, "O(1) for each block that it hands out or takes back"
        right = "O(num_blocks) in all" if method == "__init__" else right
        spent = f"more than {ASK_LIMITS['cpu']:.0f} s of CPU time on a pool of {self.num_blocks:,} blocks"
        broken.message = f"`{method}` took {spent}: right is {right}."
        broken.outcome = Outcome.FAIL
        return broken


def _why(growth: Growth, of_table: bool) -> str:
    if growth.linear:
        return "more than in proportion."
    if of_table:
        return "one of them walks the whole table of a sequence (a slice or a copy of it?)."
    return "something looks through the pool."


def _written(method: str, args: list[Any]) -> str:
    return f"{method}({', '.join(map(str, args))})"
