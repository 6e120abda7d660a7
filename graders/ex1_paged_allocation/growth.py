"""Law 1.10: what a call costs must not grow with the pool.

Measured as CPU time of the worker process, read from outside of it: the same calls on a pool of 1,024 blocks and on one
of 65,536 or a million, many times over, the cheapest of several rounds. A loop over all blocks costs up to a thousand
times more there; a heap's log n, colder memory, or arithmetic on one integer of as many bits, far less than the limits
below. Only the ratio decides, never a time. What costs about as little as such an integer, but has no excuse, moving a
whole list by pop(0), is found by looking at the list. The same calls are then made once more in the way of all other
laws, one answer each, so that a part gains nothing by knowing when it is timed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from graders.bench import Bench
from graders.failure import Broken, Step
from graders.replies import Raised, shown
from graders.result import Outcome
from graders.stage import Stage

SMALL = 1 << 10  # blocks
STATES = (
    (False, 1 << 20, 200.0),
    (True, 1 << 16, 10.0),
)  # almost used up?, blocks of the large pool, times dearer allowed
ROUNDS = 3
SLICE = 0.002  # seconds of CPU that one measurement takes at least
MOST = 4096  # passes in one measurement
PATIENCE = {"cpu": 4.0, "wall": 60.0}  # for filling a pool, which takes some 10 ms
BLOCK = 512  # tokens a block: hundreds of extends stay within one
SHORT = 3 * BLOCK - 8  # tokens of sequence 1: three blocks, the last not quite full
SPARE = 16  # one block in so many stays free in a pool that is almost used up
ANSWERED = 16  # passes of ordinary calls in one measurement
LEAST = 5e-6  # seconds: a question and its answer are never cheaper
WITHIN = 256  # extends of the long sequence that stay within its last block
Call = tuple[str, list[Any]]
Costs = dict[str, float]  # loop -> seconds of CPU for one pass

# Calls that leave the pool as it was, so that they can be repeated. Sequence 1 is SHORT.
LOOPS: dict[str, tuple[Call, ...]] = {
    "admit, free": (("admit", [2, 1]), ("free", [2])),
    "extend, truncate": (("extend", [1, 3 * BLOCK + 1]), ("truncate", [1, SHORT])),
    "fork, extend, free": (("fork", [1, 2]), ("extend", [2, SHORT + 1]), ("free", [2])),
    "can_admit, blocks_needed": (("can_admit", [1]), ("blocks_needed", [1, SHORT + 1])),
    "num_free, length, table, ref": (("num_free", []), ("length", [1]), ("table", [1]), ("ref", [1])),
}


def _blocks(value: Any, count: int) -> bool:
    return type(value) is list and [type(block) for block in value] == [int] * count


RETURNED: dict[str, Callable[[list[Any]], bool]] = {  # whether the calls of a loop returned this
    "admit, free": lambda values: _blocks(values[0], 1) and values[1] == values[0],
    "extend, truncate": lambda values: _blocks(values[1], 1) and values[0] == [values[1], []],
    "fork, extend, free": lambda values: (
        values[0] is None and _blocks(values[2], 1) and type(values[1]) is list and values[1][:1] == [values[2]]
    ),
    "can_admit, blocks_needed": lambda values: repr(values) == "[True, 0]",
    "num_free, length, table, ref": lambda values: values[1] == SHORT,
}


def constant_time(bench: Bench) -> None:
    """Raise Broken for calls that cost too many times more on a large pool, almost free or almost used up."""
    Pool(bench, STATES[0][1], full=False).moves_no_list()
    for full, num_blocks, limit in STATES:
        for answered in (False, True):
            _compare(bench, num_blocks, limit, full=full, answered=answered)


def _compare(bench: Bench, num_blocks: int, limit: float, *, full: bool, answered: bool) -> None:
    small: Costs = {}
    large: Costs = {}
    for _ in range(ROUNDS):
        for best, blocks in ((small, SMALL), (large, num_blocks)):
            for loop, cost in Pool(bench, blocks, full=full).costs(answered=answered).items():
                best[loop] = min(cost, best.get(loop, cost))
        worst = max(small, key=lambda loop: large[loop] / small[loop])
        if large[worst] <= limit * small[worst]:
            break
    else:
        raise _grows(bench, worst, small[worst], large[worst], num_blocks, full=full)
    bench.cases += len(small)


class Pool:
    """A block manager of so many blocks with a short sequence 1, and if `full` a sequence 3 that takes most of it."""

    def __init__(self, bench: Bench, num_blocks: int, *, full: bool) -> None:
        self._bench = bench
        self._num_blocks = num_blocks
        self._stage = Stage(bench, "block_manager", "bm")
        self._long = (num_blocks - num_blocks // SPARE) * BLOCK - BLOCK + 1 if full else 0

    def costs(self, *, answered: bool) -> Costs:
        """What one pass of each loop costs here; answered: in ordinary calls."""
        self._bench.patience = dict(PATIENCE)
        try:
            self._fill()
            return self._answered() if answered else self._measured()
        except Broken as broken:
            raise self._too_slow(broken) if broken.outcome is Outcome.TIMEOUT else broken from None
        finally:
            self._bench.patience = {}

    def moves_no_list(self) -> None:
        """Raise Broken if one of the calls moves all elements of a list as long as the pool."""
        self._fill()
        for loop, calls in LOOPS.items():
            for index in self._stage.shifts(calls, self._num_blocks // 2):
                method = calls[index][0]
                self._stage.method = method
                self._stage.steps.append(Step(f"bm.{_written(*calls[index])}"))
                message = (
                    f"`{method}` moves every element of a list as long as the pool: pop(0), insert(0, …) or the like?"
                )
                self._stage.broken(message, got="a whole list moved", expected=f"`{loop}` touches a few blocks")

    def _fill(self) -> None:
        raised = self._stage.new((self._num_blocks, BLOCK), {}, f"BlockManager({self._num_blocks}, {BLOCK})")
        if raised:
            self._stage.unexpected(raised, "a block manager")
        self._call("admit", [1, SHORT])
        if self._long:
            self._call("admit", [3, self._long])

    def _call(self, method: str, args: list[Any]) -> Any:
        reply, _ = self._stage.call(method, args, _written(method, args), watch=None)
        if isinstance(reply, Raised):
            self._stage.unexpected(reply, "no exception")
        return reply.value

    def _measured(self) -> Costs:
        table = self._call("table", [1])
        head = [table[0]] if type(table) is list and table else []
        costs = {name: self._pass(calls) for name, calls in LOOPS.items()}
        costs["retain, release"] = self._pass((("retain", [head]), ("release", [head])))
        if self._long:
            within = [("extend", [3, self._long + more]) for more in range(1, WITHIN + 1)]
            costs["extend within a block"] = self._pass((*within, ("truncate", [3, self._long]))) / WITHIN
        return costs

    def _answered(self) -> Costs:
        """Ordinary calls, which return what they have to."""
        costs = {}
        for loop, calls in LOOPS.items():
            before = self._bench.worker.cpu_seconds()
            returned = self._stage.answered(calls, ANSWERED)
            costs[loop] = max(LEAST, (self._bench.worker.cpu_seconds() - before) / ANSWERED)
            if not RETURNED[loop](returned):
                words = ", ".join(map(shown, returned))
                message = f"`{loop}` returned {words}: not what these calls return on a pool of {self._num_blocks}."
                self._stage.broken(message, got=words, expected="what they return on any other pool")
        return costs

    def _pass(self, calls: tuple[Call, ...]) -> float:
        times = 4
        while True:
            spent = self._spent(calls, times)
            if spent > SLICE or times >= MOST:
                return spent / times
            times = min(MOST, times * 4)

    def _spent(self, calls: tuple[Call, ...], times: int) -> float:
        before = self._bench.worker.cpu_seconds()
        self._stage.again(calls, times)
        return self._bench.worker.cpu_seconds() - before

    def _too_slow(self, broken: Broken) -> Broken:
        """A pool that takes seconds to fill: every block handed out costs a look at the others."""
        method = self._stage.method
        blocks = f"{self._num_blocks:,} blocks"
        broken.message = f"`{method}` took more than {PATIENCE['cpu']:.0f} s of CPU time on a pool of {blocks}."
        broken.outcome = Outcome.FAIL
        return broken


def _written(method: str, args: list[Any]) -> str:
    return f"{method}({', '.join(map(str, args))})"


def _grows(bench: Bench, loop: str, small: float, large: float, num_blocks: int, *, full: bool) -> Broken:
    method = LOOPS[loop][0][0]
    times, larger = f"{large / small:.0f} times", num_blocks // SMALL
    state = "almost used up" if full else "almost all free"
    stage = Stage(bench, "block_manager", "bm")
    for blocks, cost in ((SMALL, small), (num_blocks, large)):
        stage.steps.append(Step(f"bm = BlockManager({blocks}, {BLOCK}), {state}"))
        stage.steps.append(Step(f"{loop}: {cost * 1e6:.1f} µs of CPU time"))
    message = f"`{loop}` costs {times} as much on a pool {larger} times larger: something looks through the pool."
    return stage.breach(message, got=times, expected="about the same on both", method=method)
