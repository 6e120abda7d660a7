"""Who is in the class, who is at the door, and what a batch would do: printed before anything is
judged."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from course.errors import ExitCode, Problem
from course.terminal import clean, console, shorten
from graders.batch.discovery import DiscoveredJob
from graders.batch.journal import Journal
from graders.submissions import roster
from graders.submissions.roster import Roster

LISTED = 20  # strangers that are named
CSV = "students.csv"
HEAD = "id,first_name,last_name,email"
EXAMPLE = ("ada,Ada,Example,ada@example.org", "bob,Bob,Example,bob@example.org")


@dataclass(frozen=True, slots=True)
class Door:
    """Who is let in. roster: empty when nobody said who is in the class. file: where a mapping is
    to be stated."""

    roster: Roster
    file: Path

    def refuse(self, strangers: dict[str, str]) -> str:
        """What to do about names that the roster does not know; empty when there are none."""
        if not strangers:
            return ""
        named = [
            f"{name} ({meant}?)" if meant else name for name, meant in sorted(strangers.items())
        ]
        more = f" and {len(named) - LISTED} more" if len(named) > LISTED else ""
        return (
            f"what was handed in is of nobody on the roster: {', '.join(named[:LISTED])}{more}. Nothing was judged. "
            "Rename it, or state what they are called elsewhere in a column canvas, moodle, gradescope or "
            f"github of {self.file}, or take them in with --accept-new."
        )


def door(file: Path | None, course: Path | None) -> Door:
    """The roster that was named, with the students of an nbgrader course. `Problem` when it cannot
    be read."""
    stated = file or (course / CSV if course else None)
    try:
        known = roster.read(stated) if stated and (file or _is_filled(stated)) else Roster()
    except roster.BadRoster as bad:
        raise Problem(f"{bad}") from None
    return Door(known.joined(_enrolled(course) if course else ()), stated or Path(CSV))


def _is_filled(file: Path) -> bool:
    """Whether somebody has written a roster there; the example that `course instructor init` makes
    is none."""
    try:
        lines = file.read_text(encoding="utf-8-sig", errors="replace").split()
    except OSError:
        return False
    return tuple(lines[1:]) != EXAMPLE


def _enrolled(course: Path) -> tuple[str, ...]:
    """The students whom the course's gradebook knows; none when there is no gradebook yet."""
    from course.nbgrader_glue.settings import settings

    address: str = settings(course).directory.db_url
    file = Path(address.removeprefix("sqlite:///").partition("?")[0])
    if not address.startswith("sqlite:") or not file.is_file():
        return ()
    try:
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as book:
            return tuple(str(row[0]) for row in book.execute("SELECT id FROM student ORDER BY id"))
    except sqlite3.Error:
        return ()


# ---------------------------------------------------------------- a dry run


def show(
    handed: Sequence[DiscoveredJob], at: Door, strangers: dict[str, str], journal: Journal
) -> ExitCode:
    """Print who gets what, what changed since the last batch, and who is missing. Nothing is
    written."""
    screen = console()
    before = (
        {(row.student, row.exercise): row.key for row in journal.committed()}
        if journal.root.is_dir()
        else {}
    )
    for each in handed:
        job = each.job
        old = before.get(job.who)
        since = "new" if old is None else "same" if old == job.key else "changed"
        what = job.problem or os.path.relpath(job.source)
        name = shorten(clean(job.student).replace("\n", " "), 32)
        screen.print(f"{name:32} {job.exercise}  {since:8} {clean(what)}", soft_wrap=True)
        for notice in job.notices:
            screen.print(f"{'':32}    {clean(notice)}", style="yellow", soft_wrap=True)
    there = {each.job.student for each in handed}
    missing = [who for who in at.roster.ids if who not in there]
    if missing:
        screen.print(f"\nNothing of {len(missing)}: {clean(', '.join(missing))}", soft_wrap=True)
    gone = sorted({who for who, _ in before} - there)
    if gone:
        screen.print(f"\nHere last time and not now: {clean(', '.join(gone))}", soft_wrap=True)
    screen.print(
        f"\n{len(handed)} parts of {len(there)} students; nothing was judged or written.",
        soft_wrap=True,
    )
    if refused := at.refuse(strangers):
        raise Problem(refused)
    return ExitCode.PASS
