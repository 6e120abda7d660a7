"""`python -m graders.sandbox [--without namespaces] …`: the table of blocked and open, in plain
text.

Exits 1 when a level lets through what it should stop, or when no level can be had. `course doctor
--isolation` shows the same in colour.
"""

from __future__ import annotations

import argparse
import sys

from graders.sandbox.isolation.levels import LEVELS, LOCKS
from graders.sandbox.probe import LevelReport, highest, probe


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m graders.sandbox", description=__doc__)
    parser.add_argument(
        "--without",
        action="append",
        default=[],
        choices=LOCKS,
        help="as on a machine that lacks it",
    )
    parser.add_argument(
        "levels", nargs="*", default=list(LEVELS), help="L1 to L4; all of them if none is named"
    )
    order = parser.parse_args()
    reports = probe(order.levels, without=order.without)
    print("\n".join(table(reports)))
    return (
        1
        if any(report.holes for report in reports) or not any(report.reached for report in reports)
        else 0
    )


def table(reports: tuple[LevelReport, ...]) -> list[str]:
    """One line an escape, one column a level that can be had; below it what the levels are made of."""
    reached = [report for report in reports if report.reached]
    names = [attempt.name for attempt in reached[0].attempts] if reached else []
    width = max(map(len, names), default=0)
    lines = [" " * width + "".join(f"  {report.level:<8}" for report in reached)]
    for row, name in enumerate(names):
        words = ["blocked" if report.attempts[row].blocked else "open" for report in reached]
        lines.append(f"{name:<{width}}" + "".join(f"  {word:<8}" for word in words))
    for report in reports:
        made_of = ", ".join(report.locks) or "own process and limits"
        lines.append(
            f"{report.level}: {report.refused or f'{made_of}; started in {report.seconds * 1000:.0f} ms'}"
        )
    return [*lines, f"Chosen here: {highest(reports)}" if reached else "No level can be had here."]


if __name__ == "__main__":
    sys.exit(main())
