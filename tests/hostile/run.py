"""`make hostile`: every attack at bare L1 and at the highest level of this machine, and what came of it as a table.

    python tests/hostile/run.py [--level L2] [--repeat 1000] [name …]

Exits 1 when something does not hold. With --repeat the attacks are run over and over, to see whether anything is left:
processes, files, memory.
"""

from __future__ import annotations

import argparse
import itertools
import os
import resource
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1])]

from graders.isolation import HIGHEST  # noqa: E402
from hostile import suite  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--level", action="append", help="bare, L1 to L4, highest; bare and highest if not given")
    parser.add_argument("--repeat", type=int, default=0, help="so many runs in a row, at the highest level")
    parser.add_argument("names", nargs="*", help="of attacks, or how they begin; all of them if none is given")
    order = parser.parse_args()
    every = [*suite.attacks(), *suite.attacks("honest")]
    chosen = [attack for attack in every if not order.names or attack.name.startswith(tuple(order.names))]
    if order.repeat:
        return _repeat(chosen, order.repeat)
    return _table(chosen, order.level or [suite.BARE, HIGHEST])


def _table(chosen: Sequence[suite.Attack], levels: Sequence[str]) -> int:
    width = max(len(attack.name) for attack in chosen)
    print(f"{'attack':<{width}}  level  {'expected':<22}  got")
    failures = 0
    with suite.yard() as place:
        for attack, level in itertools.product(chosen, levels):
            got = suite.run(attack, level, place)
            faults = suite.wrong(attack, got)
            if not suite.right_passes(level, place):
                faults.append("the next run's verdict changed")
            failures += bool(faults)
            escape, outcomes = attack.at(got.level if got.level != "none" else "L1")
            expected = ", ".join(filter(None, (escape, " or ".join(outcomes))))
            sign = " ✗ " + "; ".join(faults) if faults else ""
            print(f"{attack.name:<{width}}  {got.level:<5}  {expected:<22}  {got}{sign}", flush=True)
    print(f"{len(chosen) * len(levels) - failures} of {len(chosen) * len(levels)} hold.")
    return 1 if failures else 0


def _repeat(chosen: Sequence[suite.Attack], times: int) -> int:
    """Attacks that wait for a timeout are left out; what is held is compared half way and at the end."""
    brisk = [attack for attack in chosen if "timeout" not in attack.at("L4")[1]]
    damage: list[str] = []
    with suite.yard() as place:
        for number, attack in enumerate(itertools.islice(itertools.cycle(brisk), times), 1):
            faults = suite.wrong(attack, suite.run(attack, HIGHEST, place))
            damage += [f"run {number}, {attack.name}: {fault}" for fault in faults]
            if number == max(1, times // 2):
                before = Held.now()
        after = Held.now()
    print(f"{times} runs of {len(brisk)} attacks: {len(damage)} things not as they should be.")
    print(f"After {times // 2} runs the grader held {before}, at the end {after}.")
    print("\n".join(damage))
    return 1 if damage or after.descriptors > before.descriptors else 0


@dataclass(frozen=True)
class Held:
    """What the grader's own process holds. memory: resident now, in KiB."""

    memory: int
    descriptors: int
    processes: int

    @classmethod
    def now(cls) -> Held:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        memory = pages * resource.getpagesize() // 1024
        return cls(memory, len(list(Path("/proc/self/fd").iterdir())), len(suite.census.descendants(os.getpid())))

    def __str__(self) -> str:
        return f"{self.memory} KiB, {self.descriptors} descriptors, {self.processes} processes"


if __name__ == "__main__":
    sys.exit(main())
