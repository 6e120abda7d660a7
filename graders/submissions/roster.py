"""The class as the instructor states it: ids, and what other systems call the same people.

A table with the column `id`. Further columns `canvas`, `moodle`, `gradescope`, `github` and `email`
hold names of the same person elsewhere, several apart by blanks or semicolons; other columns mean
nothing here.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from graders.submissions import table
from graders.submissions.parcel import composed

ELSEWHERE = ("canvas", "moodle", "gradescope", "github", "email")
PREFIXED = "github"  # a repository is called "assignment-login"
DUE = "due"


class BadRoster(Exception):
    """The roster says two things at once, or nothing; one sentence."""


@dataclass(frozen=True, slots=True)
class Roster:
    """ids: in the roster's order. elsewhere: a name in another system, in small letters -> id.
    logins: of GitHub."""

    ids: tuple[str, ...] = ()
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    logins: Mapping[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.ids)

    def find(self, names: Iterable[str]) -> str | None:
        """Who is called one of `names`: by exact id, by a name that is stated, by an id in another
        form of writing.

        The last is the same id with capital letters, with accents composed in another way, or a
        number without the zeros before it, which spreadsheets drop; if there is only one. None for
        nobody, and for more than one.
        """
        wanted = [*names]
        exact = {each for each in self.ids if each in wanted}
        stated = {self.elsewhere[key] for key in map(_key, wanted) if key in self.elsewhere}
        stated |= {
            who
            for login, who in self.logins.items()
            for name in wanted
            if _key(name).endswith(f"-{login}")
        }
        written = {
            each for each in self.ids if _spelled(each) in {_spelled(name) for name in wanted}
        }
        found = exact or stated or written
        return found.pop() if len(found) == 1 else None

    def near(self, names: Iterable[str]) -> str | None:
        """The id that may have been meant."""
        known = {_key(each): each for each in self.ids}
        close = [difflib.get_close_matches(_key(name), known, n=1, cutoff=0.7) for name in names]
        return next((known[found[0]] for found in close if found), None)

    def joined(self, ids: Iterable[str]) -> Roster:
        """The same with further ids."""
        return Roster(tuple(dict.fromkeys([*self.ids, *ids])), self.elsewhere, self.logins)


def read(path: Path) -> Roster:
    """The roster in a file. Raises BadRoster."""
    try:
        return _of(table.read(path, "id"), path)
    except table.BadTable as bad:
        raise BadRoster(f"the roster {path} {bad}.") from None


def _of(rows: Iterable[table.Line], path: Path) -> Roster:
    ids: list[str] = []
    elsewhere: dict[str, str] = {}
    logins: dict[str, str] = {}
    for row in rows:
        who = row["id"]
        if not who:
            continue
        if who in ids:
            raise BadRoster(f"the roster {path} names {who} twice.")
        ids.append(who)
        for column in ELSEWHERE:
            for name in filter(None, re.split(r"\s*;\s*|\s+", row[column])):
                if elsewhere.setdefault(_key(name), who) != who:
                    raise BadRoster(
                        f"the roster {path} gives {name} to {elsewhere[_key(name)]} and to {who}."
                    )
                if column == PREFIXED:
                    logins[_key(name)] = who
    return Roster(tuple(ids), elsewhere, logins)


def _key(name: str) -> str:
    return composed(name).strip().casefold()


def _spelled(name: str) -> str:
    """An id in the form in which all its writings are the same."""
    key = _key(name)
    return key.lstrip("0") or "0" if key.isdecimal() else key
