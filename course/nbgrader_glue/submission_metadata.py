"""The metadata of a submission: when it was handed in, and the secret under which its feedback is
released.

nbgrader's exchange makes them. What an instructor puts into submitted/ by hand has none, and
`nbgrader release_feedback` would stop at it; so what is missing is made when it is graded.
"""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from pathlib import Path

from course.nbgrader_glue.feedback import Ungraded
from course.progress import replace_file
from graders.submissions.opened import UnusableSubmission
from graders.submissions.parcel import regular

TIME, SECRET = "timestamp.txt", "submission_secret.txt"
FILES = (TIME, SECRET)
MARKS = (b"\xff\xfe", b"\xfe\xff")  # of UTF-16
LONGEST = 400  # bytes of a file; nbgrader writes less than a hundred


def time(submitted: Path) -> datetime | None:
    """When it was handed in, None when nobody wrote that down. `Ungraded` when what is written
    there is no time."""
    written = (_read(submitted / TIME) or "").strip()
    if not written:
        return None
    from nbgrader.utils import parse_utc  # an extra, and slow to import

    try:
        when: datetime | None = parse_utc(written)
        return when
    except (ValueError, OverflowError):
        raise Ungraded(
            f"{submitted / TIME} holds no date and time; correct or delete it."
        ) from None


def copy(submitted: Path, autograded: Path) -> None:
    """Take them over, as `nbgrader autograde` does. Links are not followed."""
    for name in FILES:
        written = _read(submitted / name)
        if written is not None:
            replace_file(autograded / name, written)


def straighten(submitted: Path) -> None:
    """Write a time that nbgrader cannot read, for its byte order mark or its encoding, as nbgrader
    would."""
    path = submitted / TIME
    written = _read(path)
    if written is not None and written.encode() != path.read_bytes():
        replace_file(path, written)


def _read(path: Path) -> str | None:
    """What a file says, PowerShell's encodings too; None if it is none or stands behind a link: of
    itself, its folder or the student's."""
    above = path.absolute().parents
    try:
        data = regular(path.absolute(), path.name, LONGEST, above[min(2, len(above) - 1)])
        return data.decode("utf-16" if data[:2] in MARKS else "utf-8-sig", "replace")
    except UnusableSubmission:
        return None


def complete(autograded: Path, notebook: str) -> None:
    """Make what is missing: the time of the file, and a secret that nobody has, since nobody can
    fetch with it."""
    sheet = autograded / notebook
    if not (autograded / TIME).exists() and sheet.is_file():
        when = datetime.fromtimestamp(sheet.stat().st_mtime, UTC)
        replace_file(autograded / TIME, f"{when:%Y-%m-%d %H:%M:%S.%f} UTC")
    if not (autograded / SECRET).exists():
        replace_file(autograded / SECRET, secrets.token_urlsafe(16))
