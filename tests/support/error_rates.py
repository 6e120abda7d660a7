"""The two error rates of the laws about cost: how often a right part fails, how often a slow one
passes.

    python tests/support/error_rates.py [--rounds 30] [--seed 1] [--only NAME] [--kind right|slow]
    [1.10 2.13 3.9]

Each part is judged by the law so many times, every time with another seed: right parts of the test
data and solutions, wrong parts that name the law, and slow parts made here: for each public method
of exercise 1, something that grows with the pool, in Python and in C, and for two of them with the
square of a table. Exits 1 if any verdict is wrong. Nothing else should be timed on the machine
meanwhile, but a busy machine is a good test.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1])]

from wrong_parts import numbers, right_parts, wrong_parts  # noqa: E402

import solutions  # noqa: E402
from graders import grade  # noqa: E402
from graders.registry.catalogue import catalogue  # noqa: E402
from graders.result import LawResult, Outcome  # noqa: E402

LAWS = ("1.10", "2.13", "3.9")
METHODS = {  # of exercise 1: how a method is defined
    "num_free": "@property\n    def num_free(self):",
    "length": "def length(self, *args):",
    "table": "def table(self, *args):",
    "ref": "def ref(self, *args):",
    "blocks_needed": "def blocks_needed(self, *args):",
    "can_admit": "def can_admit(self, *args):",
    "admit": "def admit(self, *args):",
    "extend": "def extend(self, *args):",
    "truncate": "def truncate(self, *args):",
    "fork": "def fork(self, *args):",
    "free": "def free(self, *args):",
    "retain": "def retain(self, *args):",
    "release": "def release(self, *args):",
}
WASTE = {  # work in proportion to the pool
    "a loop": "for block in self.pool: pass",
    "in": "-1 in self.pool",
    "sum": "sum(self.pool)",
    "min": "min(self.pool)",
    "sorted": "sorted(self.pool)",
    "a list copied": "self.pool.copy()",
    "a dict copied": "dict(self.refs_too)",
}
SQUARES = {  # work in proportion to the square of a table
    "each popped in front": "while table: table.pop(0)",
    "each sliced off": "while table: table = table[1:]",
    "each looked for": "for block in table: table.index(block)",
    "all summed for each": "for block in table: sum(table)",
    "copied for each": "for block in table: table.copy()",
}


@dataclass(frozen=True, slots=True)
class Rate:
    """Which of so many verdicts on a part were wrong: by seed, what was said."""

    name: str
    right: bool
    wrong: Mapping[int, str]
    rounds: int

    def __str__(self) -> str:
        kind, error = ("right", "failed") if self.right else ("slow", "passed")
        line = f"  {kind:<6} {self.name:<44} {error} {len(self.wrong)} of {self.rounds}"
        return "\n".join(
            (line, *(f"         at {seed}: {said}" for seed, said in self.wrong.items()))
        )


def rates(law: str, rounds: int, seed: int = 1, only: str = "", kind: str = "") -> Iterator[Rate]:
    """For each part, one after the other."""
    seeds = range(seed, seed + rounds)
    with tempfile.TemporaryDirectory() as folder:
        for name, path, right in _parts(law, Path(folder)):
            if only in name and kind in ("", "right" if right else "slow"):
                laws = {
                    at: grade(_exercise(law), path, seed=at, only=[law]).laws[0] for at in seeds
                }
                wrong = {
                    at: f"{each.outcome.value} {each.message}".strip()
                    for at, each in laws.items()
                    if _errs(each, right)
                }
                yield Rate(name, right, wrong, rounds)


def _errs(law: LawResult, right: bool) -> bool:
    return (law.outcome is Outcome.PASS) is not right


def _exercise(law: str) -> int:
    return int(law.partition(".")[0])


def _parts(law: str, folder: Path) -> Iterator[tuple[str, Path, bool]]:
    entry = catalogue(_exercise(law))
    solution = Path(solutions.__path__[0], entry.slug, entry.file_name)
    for path in (solution, *right_parts(entry.number)):
        yield path.stem, path, True
    for part in wrong_parts(entry.number):
        if numbers(part) == [law]:
            yield part.name, part.write(folder), False
    for name, path in _wasteful(solution, folder) if entry.number == 1 else ():
        yield name, path, False


def _wasteful(solution: Path, folder: Path) -> Iterator[tuple[str, Path]]:
    """The solution of exercise 1 with something that grows with the pool in one of its methods."""
    text = solution.read_text(encoding="utf-8")
    for method, head in METHODS.items():
        for kind, work in WASTE.items():
            call = "super().num_free" if method == "num_free" else f"super().{method}(*args)"
            path = folder / f"{method}_{kind.replace(' ', '_')}.py"
            path.write_text(
                f"{text}\n\nclass BlockManager(BlockManager):\n"
                "    def __init__(self, num_blocks, block_size, *, watermark=0):\n"
                "        super().__init__(num_blocks, block_size, watermark=watermark)\n"
                "        self.pool = list(range(num_blocks))\n"
                "        self.refs_too = dict.fromkeys(self.pool, 0)\n\n"
                f"    {head}\n        {work}\n        return {call}\n",
                encoding="utf-8",
            )
            yield f"{method}: {kind}", path
    for method in ("free", "fork"):
        for kind, work in SQUARES.items():
            path = folder / f"{method}_{kind.replace(' ', '_')}.py"
            path.write_text(
                f"{text}\n\nclass BlockManager(BlockManager):\n"
                f"    {METHODS[method]}\n        table = list(self.table(args[0]))\n"
                f"        {work}\n        return super().{method}(*args)\n",
                encoding="utf-8",
            )
            yield f"{method} of a long table: {kind}", path


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("laws", nargs="*", default=LAWS)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="parts whose name contains this")
    parser.add_argument("--kind", choices=("right", "slow"), default="", help="these parts alone")
    chosen = parser.parse_args()
    errors = 0
    for law in chosen.laws:
        print(f"law {law}")
        for rate in rates(law, chosen.rounds, chosen.seed, chosen.only, chosen.kind):
            errors += len(rate.wrong)
            print(rate, flush=True)
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
