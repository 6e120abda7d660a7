"""`make hostile`: every attack at bare L1 and at the highest level of this machine, and what came
of it as a table.

    python tests/hostile/run.py [--level L2] [--repeat 1000] [--skip 60 --count 30] [name …]

What needs no worker (`outside/`) is tried once, whatever the level. Exits 1 when something does not
hold. With --repeat so many runs are made in a row, of the fast attacks if none is named, to see
whether anything is left behind: processes, descriptors, files, locks, memory.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import gc
import itertools
import os
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1])]

from graders.sandbox.isolation import HIGHEST  # noqa: E402
from hostile import suite  # noqa: E402

WARM = 100  # runs after which everything has been imported and every cache is as full as it gets
SLACK = 4096  # KiB


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--level", action="append", help="bare, L1 to L4, highest; bare and highest if not given"
    )
    parser.add_argument("--repeat", type=int, default=0, help="so many runs in a row")
    parser.add_argument(
        "names", nargs="*", help="of attacks, or how they begin; all of them if none is given"
    )
    parser.add_argument(
        "--skip", type=int, default=0, help="so many of the chosen are left out at the beginning"
    )
    parser.add_argument("--count", type=int, help="so many are tried at most")
    order = parser.parse_args()
    every = [*suite.attacks(), *suite.attacks("honest"), *suite.outside()]
    chosen = [
        attack for attack in every if not order.names or attack.name.startswith(tuple(order.names))
    ]
    chosen = chosen[order.skip :][: order.count]
    levels = order.level or [suite.BARE, HIGHEST]
    parts = [each for each in chosen if isinstance(each, suite.Attack)]
    if order.repeat:
        return _repeat(
            [attack for attack in parts if order.names or attack.fast], levels, order.repeat
        )
    others = [each for each in chosen if isinstance(each, suite.Outside)]
    return max(_table(parts, levels) if parts else 0, _list(others) if others else 0)


def _list(chosen: Sequence[suite.Outside]) -> int:
    got = list[str]()
    for attack in chosen:
        with tempfile.TemporaryDirectory(prefix="yard-") as folder:
            found = list(dict.fromkeys(attack.got(Path(folder).resolve())))
        got += found
        print(
            f"{attack.name}  ✗ {'; '.join(found)}" if found else f"{attack.name}  gets nothing",
            flush=True,
        )
    return 1 if got else 0


def _table(chosen: Sequence[suite.Attack], levels: Sequence[str]) -> int:
    width = max(len(attack.name) for attack in chosen)
    print(f"{'attack':<{width}}  level  {'expected':<22}  got")
    failures, start = 0, time.monotonic()
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
            print(
                f"{attack.name:<{width}}  {got.level:<5}  {expected:<22}  {got}{sign}", flush=True
            )
    rows = len(chosen) * len(levels)
    print(f"{rows - failures} of {rows} hold. {time.monotonic() - start:.0f} s.")
    return 1 if failures else 0


def _repeat(chosen: Sequence[suite.Attack], levels: Sequence[str], times: int) -> int:
    """What is held is compared after WARM runs and at the end. Attacks that wait for a timeout are
    left out."""
    brisk = [attack for attack in chosen if "timeout" not in attack.at("L4")[1]]
    runs = itertools.islice(itertools.cycle(itertools.product(brisk, levels)), times)
    damage: list[str] = []
    with suite.yard() as place:
        for number, (attack, level) in enumerate(runs, 1):
            faults = suite.wrong(attack, suite.run(attack, level, place))
            damage += [f"run {number}, {attack.name} at {level}: {fault}" for fault in faults]
            if number == min(WARM, times // 2 or 1):
                before = Held.now(place)
                print(f"after run {number}: {before}", flush=True)
        after = Held.now(place)
    print(f"after run {times}: {after}")
    print(
        f"{times} runs of {len(brisk)} attacks at {' and '.join(levels)}: {len(damage)} not as they should be."
    )
    print("\n".join(damage + after.beyond(before)))
    return 1 if damage or after.beyond(before) else 0


@dataclass(frozen=True)
class Held:
    """What the grader's own process holds. resident: KiB of memory, what is free given back first.
    objects: pieces of memory in use by the interpreter. files: in the folder for temporary files.
    locks: on files, of this process."""

    resident: int
    objects: int
    descriptors: int
    processes: int
    files: int
    locks: int

    @classmethod
    def now(cls, place: suite.Yard) -> Held:
        gc.collect()
        with contextlib.suppress(AttributeError):  # a C library that has none
            ctypes.CDLL(None).malloc_trim(0)
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return cls(
            pages * resource.getpagesize() // 1024,
            sys.getallocatedblocks(),
            len(list(Path("/proc/self/fd").iterdir())),
            len(suite.process_tree.descendants(os.getpid())),
            sum(1 for _ in place.tmp.iterdir()),
            sum(
                line.split()[4] == str(os.getpid())
                for line in Path("/proc/locks").read_text().splitlines()
            ),
        )

    def beyond(self, before: Held) -> list[str]:
        """What has grown since: nothing may, but memory by as much as a row of runs leaves in no
        order."""
        found = [
            f"{name} grew"
            for name in ("descriptors", "processes", "files", "locks")
            if self._grew(before, name) > 0
        ]
        found += ["memory grew"] * (self._grew(before, "resident") > SLACK)
        return found + ["objects grew"] * (self._grew(before, "objects") > before.objects // 100)

    def _grew(self, before: Held, name: str) -> int:
        grown: int = getattr(self, name) - getattr(before, name)
        return grown

    def __str__(self) -> str:
        words = f"{self.resident} KiB resident, {self.objects} objects, {self.descriptors} descriptors, "
        return (
            words + f"{self.processes} processes, {self.files} temporary files, {self.locks} locks"
        )


if __name__ == "__main__":
    sys.exit(main())
