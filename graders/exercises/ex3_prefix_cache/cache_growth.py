"""What a call costs must not grow with what is stored, and only in proportion with the path that it
is about.

The second half of law 3.9. A cache is filled with hundreds of texts, with eight times as many, and
with tens of thousands, all of them apart or all beginning alike; then texts are matched, pinned,
stored and evicted one by one, as in an engine whose cache is full, and every answer is compared
with a model. In the same way paths of some hundred blocks are compared with paths of some thousand:
those are also longer than any recursion may be deep. Instructions are counted, CPU time is taken as
well (see `graders.checking.complexity`). No text is asked for twice, so remembering answers does
not help. All sizes are drawn from the seed.
"""

from __future__ import annotations

import random
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from graders.checking.call_recorder import CallRecorder
from graders.checking.check_context import CheckContext
from graders.checking.complexity import Cost, Growth, cheapest, medians
from graders.checking.failure import Step
from graders.checking.replies import Raised, shown

COUNTED, TIMED = 3.0, 5.0  # times more allowed than at first: log n, and caches
IN_PROPORTION, IN_PROPORTION_TIMED = 2.0, 4.0  # the same for what may grow with the path
BEYOND = 4.0  # so many times more than allowed is believed at once
ROUNDS = 4
TURNS = 16  # calls of each kind
COUNTED_AT_MOST = 1 << 20
LEAST = 2e-5  # seconds: the driver's share in an answered call
ASK_LIMITS = {"cpu": 20.0, "wall": 120.0}
FILLED_AT_ONCE = 4096
NAMES = {  # what of the part a call is about
    "find": "match",
    "pin": "lock, evictable, protected, unlock",
    "store": "insert",
    "evict": "evict",
}
CALLS: dict[str, tuple[str, ...]] = {  # what a method of the driver calls
    **{kind: tuple(names.split(", ")) for kind, names in NAMES.items()},
    "clutch": ("insert",),
    "ladder": ("insert",),
    "fill": ("insert",),
    "weigh": ("insert", "match"),
    "shelf": ("__init__",),
}
COUNTED_TURN = ("find", "pin", "evict", "store")
TURNS_OF = (("find",), ("pin",), ("evict",), ("store",), ("evict", "find", "store"))
Call = tuple[str, list[Any]]


@dataclass(frozen=True, slots=True)
class Draw:
    """What is drawn from the seed. leaves, depths: sizes of caches and paths. size: tokens a block.
    groups: in how many groups texts begin alike where they do."""

    leaves: tuple[int, int, int]
    depths: tuple[int, int]
    rungs: int
    size: int
    groups: int

    @classmethod
    def of(cls, seed: int) -> Draw:
        chance = random.Random(seed)
        few, short = chance.randrange(180, 260), chance.randrange(150, 180)
        leaves = few, int(few * chance.uniform(7, 9)), int(few * chance.uniform(60, 70))
        depths = short, int(short * chance.uniform(13.7, 15))
        return cls(
            leaves,
            depths,
            chance.randrange(1020, 1080),
            chance.randrange(2, 9),
            chance.randrange(1, 4),
        )


def fullness(context: CheckContext) -> None:
    """Raise Broken when a call looks through the cache, or at a path more often than once."""
    draw = Draw.of(context.seed)
    context.ask_limits = dict(ASK_LIMITS)
    try:
        with ShelfRecorder(context).still():
            for groups in (0, draw.groups):
                _Leaves(context, draw, groups).judge()
            _Paths(context, draw).judge()
    finally:
        context.ask_limits = {}


class ShelfRecorder(CallRecorder):
    """A cache whose texts lie on a shelf of the driver."""

    CALLS = CALLS

    def __init__(self, context: CheckContext) -> None:
        super().__init__(context, "prefix_cache", "cache")

    def value(self, method: str, args: list[Any], written: str) -> Any:
        """What the driver's method returned; Broken if a call of the part raised."""
        reply, _ = self.call(method, args, written)
        self.method = CALLS[method][0]
        if isinstance(reply, Raised):
            self.blame(reply, [method])
            self.unexpected(reply, "no exception")
        return reply.value


class _Compared:
    """The same calls on objects of several sizes, one object at a time."""

    what = ""  # what there is more of
    linear = False

    def __init__(self, context: CheckContext, draw: Draw) -> None:
        self._context = context
        self._draw = draw
        self._known: dict[tuple[str, str], Cost] = {}  # (unit, method) at the smallest size

    def measured(self, size: int, unit: str) -> dict[str, Cost]:
        """What each kind of call costs there, by method."""
        raise NotImplementedError

    def compare(self, small: int, large: int, unit: str, allowance: float) -> None:
        """Raise Broken for what costs too much. Times are taken again before they are believed."""
        for number in range(ROUNDS):
            if number or not self._knows(unit):
                for method, cost in self.measured(small, unit).items():
                    self._known[unit, method] = cheapest(
                        (cost, self._known.get((unit, method), cost))
                    )
            costs = self.measured(large, unit)
            growths = [
                Growth(name, self._known[unit, name], cost, self.linear)
                for name, cost in costs.items()
            ]
            worst = max(growths, key=lambda growth: growth.times)
            self._context.cases += len(growths)
            if not worst.exceeds(allowance):
                return
            if unit == "instructions" or worst.exceeds(BEYOND * allowance):
                break
        self._grows(worst)

    def _knows(self, unit: str) -> bool:
        return any(known == unit for known, _ in self._known)

    def _grows(self, growth: Growth) -> NoReturn:
        recorder = ShelfRecorder(self._context)
        for cost in (growth.small, growth.large):
            recorder.steps.append(Step(f"{growth.what}, {cost.size} {self.what}: {cost} a call"))
        message = f"`{growth.what}` costs {growth.dearer} as much with {growth.larger} as many {self.what} "
        message += (
            f"({growth.small} with {growth.small.size}, {growth.large} with {growth.large.size}): "
        )
        message += (
            "more than in proportion." if growth.linear else "something looks through the cache."
        )
        recorder.broken(
            message,
            got=f"{growth.dearer} as much",
            expected=growth.due,
            method=growth.what.split(",")[0],
        )


class _Leaves(_Compared):
    """Caches of many short texts. groups: how many beginnings they have, 0: each its own."""

    what = "texts stored"

    def __init__(self, context: CheckContext, draw: Draw, groups: int) -> None:
        super().__init__(context, draw)
        self._groups = groups

    def judge(self) -> None:
        few, more, many = self._draw.leaves
        self.compare(few, more, "instructions", COUNTED)
        self.compare(few, more, "µs", TIMED)
        self.compare(few, many, "µs", TIMED)

    def measured(self, size: int, unit: str) -> dict[str, Cost]:
        cache = Cache(self._context, self._draw.size, self._groups or 4 * size)
        cache.fill(size)
        chance = random.Random(size)
        costs = {}
        for kinds in TURNS_OF if unit == "µs" else (COUNTED_TURN,):
            turns = [cache.turn(kind, chance) for _ in range(TURNS) for kind in kinds]
            calls = [call for call, _ in turns]
            if unit == "instructions":
                counts = medians(cache.recorder.tally(calls, COUNTED_AT_MOST), len(kinds))
                return {
                    NAMES[kind]: Cost(size, count)
                    for kind, count in zip(kinds, counts, strict=True)
                }
            seconds = cache.timed(calls, [due for _, due in turns]) / TURNS
            costs[", ".join(NAMES[kind] for kind in kinds)] = Cost(
                size, max(LEAST, seconds) * 1e6, unit
            )
        return costs


class _Paths(_Compared):
    """One text of so many blocks in a cache that is empty otherwise."""

    what = "blocks on a path"
    linear = True

    def judge(self) -> None:
        short, long = self._draw.depths
        self.compare(short, long, "instructions", IN_PROPORTION)
        self.compare(short, long, "µs", IN_PROPORTION_TIMED)
        self._climb(self._draw.rungs)

    def measured(self, size: int, unit: str) -> dict[str, Cost]:
        costs = {}
        cache = Cache(self._context, self._draw.size, 2, size)
        for kind, due in PATH:
            call = (kind, [size] if kind == "evict" else [1, size])
            if unit == "instructions":
                amount = float(cache.recorder.tally([call], COUNTED_AT_MOST << 2)[0])
            else:
                amount = cache.timed([call], [due(cache, size)]) * 1e6
            costs[NAMES[kind]] = Cost(size, amount, unit)
        return costs

    def _climb(self, rungs: int) -> None:
        """A path of single blocks that were stored one after the other: longer than recursion goes."""
        cache = Cache(self._context, 1, 2, rungs)
        cache.call("ladder", [1])
        for kind, due in PATH[1:]:
            cache.timed([(kind, [rungs] if kind == "evict" else [1, rungs])], [due(cache, rungs)])
        self._context.cases += 1


PATH = (
    ("store", lambda cache, depth: 0),
    ("find", lambda cache, depth: [depth * cache.size, cache.path(1, depth)]),
    ("pin", lambda cache, depth: [0, depth]),
    ("evict", lambda cache, depth: cache.path(1, depth)[::-1]),
)


class Cache:
    """A cache under test, filled from a shelf (see the driver), and a model of what it holds: texts
    of two blocks.

    The model is an order of nodes by age, deepest first among those touched at once, and children
    counted.
    """

    def __init__(self, context: CheckContext, size: int, groups: int, depth: int = 2) -> None:
        self.size = size
        self.recorder = ShelfRecorder(context)
        self._context = context
        self._groups = groups
        self._depth = depth
        self._ages: OrderedDict[tuple[str, int], None] = OrderedDict()
        self._children: dict[int, int] = {}
        self._texts: deque[int] = (
            deque()
        )  # those that are whole, by the order in which they were stored
        raised = self.recorder.new([size], {}, f"PrefixCache(block_size={size})")
        if raised:
            self.recorder.unexpected(raised, "a prefix cache")
        self.call("shelf", [size, depth, groups])

    def fill(self, count: int) -> None:
        for start in range(0, count, FILLED_AT_ONCE):
            self.call("clutch", [start, min(FILLED_AT_ONCE, count - start)])
        for number in range(count):
            self._stored(number)

    def call(self, method: str, args: list[Any]) -> Any:
        return self.recorder.value(method, args, f"{method}({', '.join(map(str, args))})")

    def timed(self, calls: Sequence[Call], due: Sequence[Any]) -> float:
        """Seconds of CPU time of the calls, which must return what is due."""
        before = self._context.worker.cpu_seconds()
        returned = self.recorder.answered(calls, 1)
        spent = self._context.worker.cpu_seconds() - before
        for (kind, args), value, right in zip(calls, returned, due, strict=True):
            if value != right or repr(value) != repr(right):
                self._wrong(kind, args, value, right)
        return spent

    def turn(self, kind: str, chance: random.Random) -> tuple[Call, Any]:
        """The next call of a kind, and what is due."""
        if kind == "evict":
            return ("evict", [1]), [self._evicted()]
        if kind == "store":
            number = self._newest + 1
            held = (
                self._children.get(number % self._groups, 0) > 0
                or ("group", number % self._groups) in self._ages
            )
            self._stored(number)
            return ("store", [number, 2]), self.size if held else 0
        number = self._texts[
            chance.randrange(len(self._texts) // 2) if kind == "pin" else chance.randrange(TURNS)
        ]
        self._touch(number)
        if kind == "pin":
            return ("pin", [number, 2]), [len(self._ages) - 2, 2]
        return ("find", [number, 2]), [2 * self.size, self.path(number, 2)]

    def path(self, number: int, depth: int) -> list[int]:
        """The blocks of a text."""
        start = self._groups + number * (self._depth - 1) + 1
        return [number % self._groups + 1, *range(start, start + depth - 1)]

    def _stored(self, number: int) -> None:
        self._newest = number
        group = number % self._groups
        self._children[group] = self._children.get(group, 0) + 1
        self._texts.append(number)
        self._touch(number)

    def _touch(self, number: int) -> None:
        for node in (("text", number), ("group", number % self._groups)):
            self._ages[node] = None
            self._ages.move_to_end(node)

    def _evicted(self) -> int:
        """Takes the oldest node without a child out of the model; its block."""
        oldest = next(
            node for node in self._ages if node[0] == "text" or not self._children[node[1]]
        )
        del self._ages[oldest]
        kind, number = oldest
        if kind == "text":
            self._children[number % self._groups] -= 1
            self._texts.remove(number)
        return self._last_block(oldest)

    def _last_block(self, node: tuple[str, int]) -> int:
        kind, number = node
        return number + 1 if kind == "group" else self.path(number, 2)[1]

    def _is_leaf(self, block: Any) -> bool:
        leaves = (node for node in self._ages if node[0] == "text" or not self._children[node[1]])
        return block in map(self._last_block, leaves)

    def _wrong(self, kind: str, args: list[Any], value: Any, right: Any) -> NoReturn:
        name = NAMES[kind]
        self.recorder.steps.append(Step(f"cache.{kind}({', '.join(map(str, args))})", shown(value)))
        message = (
            f"`{name}` of a cache with {len(self._ages) or self._depth} blocks returned "
            "something else than it has to."
        )
        if kind == "evict" and type(value) is list and len(value) == 1 and self._is_leaf(value[0]):
            message = (
                f"`evict` took block {value[0]} before block {right[0]}, which was touched longer "
                f"ago, in a cache with {len(self._ages)} blocks."
            )
        self.recorder.broken(
            message, got=shown(value), expected=shown(right), method=name.split(",")[0]
        )
