"""The pages for whoever comes next: what they link to and name is there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from hostile import suite
from source_tree import modules

from graders.sandbox.isolation import LEVELS

ROOT = Path(__file__).parents[2]
HOUSE = ("reference_engine", "graders", "course", "solutions", "tests", "docs", ".github")
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "graders/engines/README.md"]
)
ENDINGS = (".py", ".h", ".cpp", ".toml", ".md", ".yml", ".txt")
OTHERS = ("timestamp.txt", "nbgrader_config.py")  # files of an instructor's course
DECISION = ("Decision", "Why", "What it costs")
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
NAME = re.compile(r"[A-Za-z_][A-Za-z_0-9]*(\.[A-Za-z_][A-Za-z_0-9]*)?(\(\))?")
IDS = [page.relative_to(ROOT).as_posix() for page in PAGES]


def prose(page: Path) -> str:
    """A page without its fenced blocks, which are commands and examples."""
    return FENCED.sub("", page.read_text(encoding="utf-8"))


@cache
def known_names() -> frozenset[str]:
    """The name of every file of the house."""
    return frozenset(file.name for room in HOUSE for file in (ROOT / room).rglob("*")) | {
        file.name for file in ROOT.iterdir()
    }


def is_path(span: str) -> bool:
    """Whether a span of code names something of the house: exN and <name> stand for any."""
    return " " not in span and span.split("/")[0] in HOUSE and "/" in span


def exists(span: str) -> bool:
    pattern = re.sub(r"<[^>]*>|…", "*", span.rstrip("/"))
    return any(ROOT.glob(re.sub(r"\bexN\b", "ex*", pattern)))


def file_of(span: str) -> Path | None:
    """The file that a span names, if it names one."""
    path = ROOT / span
    return path if is_path(span) and path.is_file() else None


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_a_page_names_no_file_that_is_not_there(page: Path) -> None:
    spans = SPAN.findall(prose(page))
    gone = [span for span in spans if is_path(span) and not exists(span)]
    loose = [
        span
        for span in spans
        if span.endswith(ENDINGS) and re.fullmatch(r"[\w.-]+", span) and span[0] != "."
    ]
    assert not gone
    assert [span for span in loose if span not in known_names() and span not in OTHERS] == []


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_a_page_links_to_what_is_there(page: Path) -> None:
    links = [link.partition("#")[0] for link in LINK.findall(prose(page)) if "://" not in link]
    assert [link for link in links if link and not (page.parent / link).exists()] == []


def test_the_source_names_no_file_that_is_not_there() -> None:
    gone = [
        f"{module}: {name}"
        for module, path in modules().items()
        for name in re.findall(r"`([\w/]+\.(?:py|h|cpp))`", path.read_text(encoding="utf-8"))
        if Path(name).name not in known_names() and name not in OTHERS
    ]
    assert gone == []


def named_beside_files() -> Iterator[tuple[Path, str]]:
    """Every name in ARCHITECTURE.md that follows the file which it is said to be in, on the same
    line."""
    for line in prose(ROOT / "ARCHITECTURE.md").splitlines():
        file: Path | None = None
        for span in SPAN.findall(line):
            file = file_of(span) or file
            if file and NAME.fullmatch(span):
                yield file, span.removesuffix("()")


def test_the_functions_that_the_map_names_are_in_the_files_it_names() -> None:
    named = list(named_beside_files())
    assert len(named) > 50
    texts = {file: file.read_text(encoding="utf-8") for file, _ in named}
    lost = [
        f"{file.relative_to(ROOT)}: {name}"
        for file, name in named
        if not all(re.search(rf"\b{part}\b", texts[file]) for part in name.split("."))
    ]
    assert lost == []


def test_the_map_has_a_line_for_every_room() -> None:
    text = prose(ROOT / "ARCHITECTURE.md")
    for package in ("reference_engine", "graders", "course"):
        rooms = [room for room in (ROOT / package).iterdir() if (room / "__init__.py").exists()]
        assert [room.name for room in rooms if f"`{package}/{room.name}/`" not in text] == []


def test_a_record_says_what_was_decided_and_why_or_that_nobody_wrote_it_down() -> None:
    records = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
    index = (ROOT / "docs" / "decisions" / "README.md").read_text(encoding="utf-8")
    assert len(records) >= 5
    for record in records:
        headings = re.findall(r"^## (.+)$", record.read_text(encoding="utf-8"), re.MULTILINE)
        assert tuple(headings) == DECISION, record.name
        assert f"({record.name})" in index, record.name


def test_the_glossary_gives_a_word_one_meaning() -> None:
    """A term has one row, in order of the alphabet within its table."""
    ours, fields = (ROOT / "GLOSSARY.md").read_text(encoding="utf-8").split("## The field's")
    tables = [
        re.findall(r"^\| \*\*(.+?)\*\* \|", text.lower(), re.MULTILINE) for text in (ours, fields)
    ]
    rows = [row for table in tables for row in table]
    assert len(rows) > 40
    assert len(set(rows)) == len(rows)
    assert tables == [sorted(table) for table in tables]


def test_every_promise_about_hostile_parts_names_who_has_tried_to_break_it() -> None:
    """The last column of the README's table: files that are there, and one at least that `make
    hostile` runs."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    _, _, table = text.partition("| attacked by |\n|---|---|---|\n")
    rows = table.partition("\n\n")[0].splitlines()
    files = {path.name for path in (ROOT / "tests").rglob("*.py")}
    attacks = {f"{attack.name}.py" for attack in (*suite.attacks(), *suite.outside())}
    assert len(rows) > 10
    for row in rows:
        named = re.findall(r"`(\w+\.py)`", row.rstrip(" |").rpartition("|")[2])
        assert named, row
        assert set(named) <= files, row
        assert set(named) & attacks, row


def test_every_level_of_isolation_names_attacks_that_it_is_the_first_to_stop() -> None:
    _, _, table = (
        (ROOT / "README.md")
        .read_text(encoding="utf-8")
        .partition("| attacked by, of many |\n|---|---|---|---|\n")
    )
    rows = [row.split(" | ") for row in table.partition("\n\n")[0].splitlines()]
    assert [row[0].strip("| ") for row in rows] == list(LEVELS)
    known = {f"{attack.name}.py": attack for attack in suite.attacks()}
    for level, *_, named in rows:
        for name in re.findall(r"`(\w+\.py)`", named):
            stopped = [
                each for each, (escape, _) in known[name].expected.items() if escape == "blocked"
            ]
            assert min(stopped) == level.strip("| "), name
