"""What arrives when people hand in, each case seen in public reports, and the part that has to be
found in it.

Every way of grading plays the same cases: same file, same part, same words, same points.
"""

from __future__ import annotations

import codecs
import io
import json
import os
import stat
import unicodedata
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from course.nbgrader_glue import notebook
from course.targets import stub_of
from graders.registry.catalogue import catalogue
from graders.submissions.parcel import LARGEST_PARCEL, MOST_ENTRIES
from graders.submissions.submission_reader import LARGEST

EXERCISE = catalogue(3)
FILE, SLUG = EXERCISE.file_name, EXERCISE.slug
STUB = stub_of(EXERCISE)
OPEN = next(
    cell["source"] for cell in notebook.release(EXERCISE)["cells"] if cell["id"] == EXERCISE.slot
)
LINK = (stat.S_IFLNK | 0o777) << 16


@dataclass(frozen=True, slots=True)
class Case:
    """One student's things. part: the text to be judged; None where a person has to look. says: in
    row or notices.

    blame: the outcome, for cases without a part. answer: to the first question, which a person has
    to find.
    """

    name: str
    write: Callable[[Path], None]
    part: str | None
    says: str = ""
    blame: str = "ungraded"
    answer: str = ""


def sheet(
    text: str | None, *, drop: bool = False, marks: bool = True, answer: str = "", **metadata: Any
) -> str:
    """The exercise's notebook as students get it, with `text` in the cell to write in; None: the
    stub."""
    made = notebook.release(EXERCISE)
    made["metadata"] |= metadata
    for cell in made["cells"]:
        if cell["id"] == EXERCISE.slot and text is not None:
            cell["source"] = text
        if cell["id"] == notebook.question_id(EXERCISE.number, 0) and answer:
            cell["source"] = answer
        if not marks:
            cell["metadata"].pop("nbgrader", None)
    if drop:
        made["cells"] = [cell for cell in made["cells"] if cell["id"] != EXERCISE.slot]
    return json.dumps(made)


def third_version(text: str) -> str:
    """A notebook in the format before this one."""
    cells = json.loads(text)["cells"]
    for cell in cells:
        if cell["cell_type"] == "code":
            cell |= {"input": cell.pop("source"), "language": "python", "collapsed": False}
    return json.dumps(
        {
            "nbformat": 3,
            "nbformat_minor": 0,
            "metadata": {"name": ""},
            "worksheets": [{"cells": cells}],
        }
    )


def answered(answer: str, number: int = EXERCISE.number) -> str:
    """The sheet of answers of an exercise with one written."""
    title = f"# Explain it back: exercise {number}, name\n\n"
    return f"{title}## Question 1 (10 points)\n\nWhy?\n\n### Your answer\n\n{answer}\n"


def tree(texts: Mapping[str, str | bytes]) -> Callable[[Path], None]:
    """Writes files by their paths."""

    def write(home: Path) -> None:
        for name, text in texts.items():
            path = home / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text.encode() if isinstance(text, str) else text)

    return write


def packed(texts: Mapping[str, str | bytes], modes: Mapping[str, int] | None = None) -> bytes:
    """A zip file with names as they are given, backslashes too."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, text in texts.items():
            entry = zipfile.ZipInfo("x")
            entry.filename = name
            entry.external_attr = (modes or {}).get(name, 0o100644 << 16)
            archive.writestr(entry, text)
    return out.getvalue()


def locked(texts: Mapping[str, str]) -> bytes:
    """A zip file that says that it has a password."""
    data = bytearray(packed(texts))
    for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(mark) + flags] |= 1
    return bytes(data)


def cases(good: str, other: str) -> Iterator[Case]:
    """Every case, for two different parts of exercise 3."""
    mac = {FILE: good, "__MACOSX/._" + FILE: b"\0", ".venv/bin/python": "/usr/bin/python3"}
    yield Case("plain", tree({FILE: good}), good)
    yield Case("canvas second upload", tree({"prefix_cache-1.py": good}), good)
    yield Case("browser copy", tree({f"{SLUG} (1).ipynb": sheet(good)}), good)
    yield Case("browser copy in its folder", tree({f"{SLUG}/{SLUG} (1).ipynb": sheet(good)}), good)
    yield Case(
        "release zip",
        tree({f"{SLUG}.zip": packed({f"{SLUG}.ipynb": sheet(good), FILE: STUB})}),
        good,
    )
    yield Case("release unpacked", tree({f"{SLUG}.ipynb": sheet(good), FILE: STUB}), good)
    yield Case(
        "zip with a notebook alone",
        tree({"work.zip": packed({f"{SLUG}.ipynb": sheet(good)})}),
        good,
    )
    yield Case("zip in capitals", tree({"work.ZIP": packed({FILE: good})}), good)
    yield Case("old windows zip", tree({"work.zip": packed({f"hw\\{SLUG}\\{FILE}": good})}), good)
    yield Case(
        "mac zip with an environment",
        tree({"work.zip": packed(mac, {".venv/bin/python": LINK})}),
        good,
    )
    yield Case("one folder deeper", tree({f"hw3/{FILE}": good}), good)
    yield Case(
        "workspace",
        tree({f"exercises/{SLUG}/{FILE}": good, ".course/backups/prefix_cache.py": other}),
        good,
    )
    yield Case("zip in a zip", tree({"all.zip": packed({"mine.zip": packed({FILE: good})})}), good)
    yield Case(
        "two versions",
        tree({"prefix_cache_v1.py": good, "prefix_cache_v2.py": other}),
        None,
        "prefix_cache_v2",
    )
    yield Case(
        "the same twice",
        tree({FILE: good, "prefix_cache (1).py": good.replace("\n", "\r\n")}),
        good,
    )
    yield Case(
        "old one beside it",
        tree({FILE: good, "prefix_cache_old.py": other}),
        good,
        "_old.py was not judged",
    )
    yield Case(
        "cell and file",
        tree({f"{SLUG}.ipynb": sheet(good), FILE: other}),
        good,
        f"{FILE} was not judged",
    )
    yield Case("file beside an open cell", tree({f"{SLUG}.ipynb": sheet(None), FILE: good}), good)
    yield Case(
        "tests beside it", tree({FILE: good, "test_prefix_cache.py": "import prefix_cache\n"}), good
    )
    yield Case(
        "tests and another name",
        tree({"work.py": good, "test_prefix_cache.py": "import work\n"}),
        good,
    )
    yield Case("time magic", tree({f"{SLUG}.ipynb": sheet("%%time\n" + good)}), "# %%time\n" + good)
    shell = "!pip install numpy\n" + good
    yield Case("shell magic", tree({f"{SLUG}.ipynb": sheet(shell)}), "# " + shell)
    yield Case("marks lost", tree({f"{SLUG}.ipynb": sheet(good, marks=False)}), good)
    yield Case("marks lost, another name", tree({"Untitled.ipynb": sheet(good, marks=False)}), good)
    yield Case(
        "colab widgets", tree({f"{SLUG}.ipynb": sheet(good, widgets={"application/x": {}})}), good
    )
    yield Case(
        "byte order mark",
        tree({FILE: b"\xef\xbb\xbf" + good.encode()}),
        "\N{BYTE ORDER MARK}" + good,
    )
    yield Case(
        "what systems leave", tree({FILE: good, "desktop.ini": "x", "Thumbs.db": b"x"}), good
    )
    yield Case("decomposed name", tree({unicodedata.normalize("NFD", f"josé_{FILE}"): good}), good)
    yield Case("text to a browser", tree({f"{FILE}.txt": good}), good)
    yield Case("notebook that is text to a browser", tree({f"{SLUG}.ipynb.txt": sheet(good)}), good)
    yield Case(
        "notebook that is json to a browser", tree({f"{SLUG}.ipynb.json": sheet(good)}), good
    )
    yield Case("trailing dot", tree({f"{FILE}.": good}), good)
    yield Case("trailing blank", tree({f"{FILE} ": good}), good)
    yield Case("capitals", tree({FILE.upper(): good}), good)
    yield Case("quotes, commas and lines in a name", tree({f'my "own", new\n{FILE}': good}), good)
    yield Case("windows line ends", tree({FILE: good.replace("\n", "\r\n")}), good)
    yield Case("old line ends", tree({FILE: good.replace("\n", "\r")}), good)
    yield from _encoded(good)
    yield from _packed_otherwise(good, other)
    yield from _cells_of_their_own(good, other)
    yield Case("package", tree({"prefix_cache/__init__.py": good}), good)
    yield Case("notebook saved as a script", tree({f"{SLUG}.py": good}), good)
    two = {f"{SLUG}.ipynb": sheet(good), f"{SLUG}-Copy1.ipynb": sheet(other)}
    yield Case("two notebooks", tree(two), None, "Copy1")
    yield Case(
        "checkpoint",
        tree({f"{SLUG}.ipynb": sheet(good), ".ipynb_checkpoints/x.ipynb": sheet(other)}),
        good,
    )
    yield Case(
        "copy of the notebook",
        tree({f"{SLUG}.ipynb": sheet(None), f"{SLUG}-Copy1.ipynb": sheet(good)}),
        good,
    )
    yield Case("no notebook beside it", tree({FILE: good, f"{SLUG}.ipynb": "no json"}), good)
    yield Case(
        "huge notebook beside it",
        tree({FILE: good, f"{SLUG}.ipynb": sheet(None) + " " * LARGEST_PARCEL}),
        good,
    )
    environment = {f"env/.cache/{number}": "" for number in range(MOST_ENTRIES)}
    yield Case("many hidden files", tree({"work.zip": packed({FILE: good, **environment})}), good)
    kit = {
        f"kit/solutions/{SLUG}/{FILE}": other,
        "kit/graders/grading.py": "x = 1\n",
        "kit/LICENSE": "",
    }
    yield Case("kit", tree({**kit, f"kit/exercises/{SLUG}/{FILE}": good}), good)
    yield Case("kit as it came", tree({**kit, f"kit/exercises/{SLUG}/{FILE}": STUB}), STUB)
    yield Case("stub", tree({f"{SLUG}.ipynb": sheet(None), FILE: STUB}), OPEN)
    yield Case("stub and a paper", tree({FILE: STUB, "work.docx": "x"}), None, "work.docx")
    yield Case(
        "stub and another archive",
        tree({f"{SLUG}.ipynb": sheet(None), "work.7z": "x"}),
        None,
        "work.7z",
    )
    yield Case("stub and text", tree({FILE: STUB, "code.txt": good}), None, "code.txt")
    yield Case(
        "stub and tests",
        tree({FILE: STUB, "test_prefix_cache.py": "def test(): 1\n"}),
        None,
        "test_prefix_cache.py",
    )
    yield Case("picture", tree({"photo.png": b"x"}), None, "photo.png")
    yield Case(
        "capitals and not", tree({FILE.title(): good, FILE: other}), None, "are different parts"
    )
    yield Case("empty zip", tree({"work.zip": packed({})}), None, "nothing in it")
    yield Case(
        "zip of what systems leave",
        tree({"work.zip": packed({"__MACOSX/x": "x"})}),
        None,
        "nothing in it",
    )
    yield Case("no bytes", tree({"work.zip": b""}), None, "no readable zip archive")
    inner = packed({"b.zip": packed({"c.zip": packed({FILE: good})})})
    yield Case("zip in a zip in a zip", tree({"a.zip": inner}), None, "c.zip")
    yield Case("deep", tree({f"1/2/3/4/5/6/7/8/{FILE}": good}), None, "deeper than")
    yield Case(
        "deep in a zip",
        tree({"work.zip": packed({f"1/2/3/4/5/6/7/8/{FILE}": good})}),
        None,
        "deeper than",
    )
    yield Case("large", tree({FILE: good + "#" * LARGEST}), None, "too large")
    yield Case("folder called like the file", tree({f"{FILE}/{FILE}": good}), good)
    yield Case(
        "folder in place of the file", lambda home: (home / FILE).mkdir(), None, "is a folder"
    )
    yield Case("named pipe", lambda home: os.mkfifo(home / FILE), None, "is a named pipe")
    yield from _answered(good)
    yield Case("cell gone", tree({f"{SLUG}.ipynb": sheet(None, drop=True)}), None, "was deleted")
    yield Case(
        "no zip", tree({"work.zip": "PK and no more", FILE: STUB}), None, "no readable zip archive"
    )
    yield Case("a paper", tree({"essay.docx": "x"}), None, "essay.docx")
    yield Case(
        "link",
        lambda home: os.symlink("/etc/hostname", home / FILE),
        None,
        "is a symbolic link",
        "invalid",
    )
    yield Case("nothing", lambda home: None, None, "nothing was handed in", "fail")


def _encoded(good: str) -> Iterator[Case]:
    """What is text in another encoding, and what is none."""
    yield Case("utf-16", tree({FILE: good.encode("utf-16")}), good)
    yield Case(
        "utf-16, the other way round",
        tree({FILE: codecs.BOM_UTF16_BE + good.encode("utf-16-be")}),
        good,
    )
    yield Case("notebook in utf-16", tree({f"{SLUG}.ipynb": sheet(good).encode("utf-16")}), good)
    yield Case("utf-16 in an archive", tree({"a.zip": packed({FILE: good.encode("utf-16")})}), good)
    yield Case("utf-16, cut", tree({FILE: good.encode("utf-16")[:-1]}), None, "zero bytes")
    yield Case("utf-16 without a mark", tree({FILE: good.encode("utf-16-le")}), None, "zero bytes")
    yield Case("latin-1", tree({FILE: f"# Größe\n{good}".encode("latin-1")}), None, "not UTF-8")
    renamed = {
        "an archive": packed({"x": good}),
        "a web page": f"\n<!DOCTYPE html><pre>{good}".encode(),
    }
    renamed |= {"a notebook": sheet(good).encode(), "rich text": b"{\\rtf1\\ansi " + good.encode()}
    for what, data in {**renamed, "empty": b"", "empty, but for blanks": b" \n"}.items():
        yield Case(
            f"{what} called as the part",
            tree({FILE: data}),
            None,
            what.partition(",")[0].removeprefix("an "),
        )
    yield Case(
        "empty file beside the notebook", tree({f"{SLUG}.ipynb": sheet(good), FILE: ""}), good
    )


def _packed_otherwise(good: str, other: str) -> Iterator[Case]:
    """Archives of other kinds, and what is in archives beside the part."""
    for name in ("work.7z", "work.tar.gz", f"{SLUG}.rar"):
        yield Case(f"{name} alone", tree({name: b"7z\xbc\xaf'\x1c"}), None, name)
        yield Case(
            f"{name} beside the part",
            tree({FILE: good, name: b"7z"}),
            good,
            f"{name} was not judged",
        )
    yield Case("tar in a zip", tree({"a.zip": packed({"work.tar": b"x"})}), None, "work.tar")
    yield Case(
        "src in a zip", tree({"a.zip": packed({f"hw/src/{FILE}": good, "hw/README.md": "x"})}), good
    )
    pair = packed({f"ada/{FILE}": good, f"bob/{FILE}": other})
    yield Case("zip of two", tree({"ada_bob.zip": pair}), None, "are different parts")
    yield Case("password", tree({"work.zip": locked({FILE: good})}), None, "is encrypted")
    yield Case(
        "password beside the part",
        tree({FILE: good, "w.zip": locked({FILE: other})}),
        good,
        "was not judged",
    )
    twice = packed({FILE: good, f"./{FILE}": other})
    yield Case("a name twice in a zip", tree({"work.zip": twice}), None, "are different parts")
    checkpoint = f".ipynb_checkpoints/{SLUG}-checkpoint.ipynb"
    for name in (f".{FILE}", f".{FILE}.icloud", f"{FILE}c", checkpoint):
        yield Case(f"unseen {name}", tree({name: sheet(good)}), None, "nobody reads it")
    yield Case("hidden beside the stub", tree({f".{FILE}": good, FILE: STUB}), STUB)


def _cells_of_their_own(good: str, other: str) -> Iterator[Case]:
    """Notebooks in which more than one cell was written in."""

    def book(
        mine: str | None, *cells: tuple[str, bool], above: bool = False
    ) -> Callable[[Path], None]:
        """marked: the cell is a copy, with nbgrader's marks."""
        made = json.loads(sheet(mine))
        (slot,) = (cell for cell in made["cells"] if cell["id"] == EXERCISE.slot)
        place = made["cells"].index(slot) + (not above)
        added = [
            {**slot, "source": text, "metadata": slot["metadata"] if marked else {}}
            for text, marked in cells
        ]
        made["cells"][place:place] = added
        return tree({f"{SLUG}.ipynb": json.dumps(made)})

    yield Case(
        "written in a cell of its own", book(None, (good, False)), good, "was left as it was"
    )
    yield Case(
        "two written cells", book(good, (other, False)), good, "another cell defines the part too"
    )
    yield Case("the cell twice", book(good, (other, True)), other, "was there 2 times")
    yield Case(
        "split, helpers below",
        book(good, ("def helper(): return 1\n", True)),
        good,
        "was there 2 times",
    )
    needy = f"{good}\nSIZE = helper()\n"
    helper = "def helper(): return 1\n"
    yield Case("helper above", book(needy, (helper, False), above=True), None, "uses helper")
    yield Case("helper above, split", book(needy, (helper, True), above=True), None, "uses helper")
    yield Case("format of 2013", tree({f"{SLUG}.ipynb": third_version(sheet(good))}), good)
    law = next(
        cell["source"] for cell in json.loads(sheet(None))["cells"] if cell["id"] == "law-3-1"
    )
    yield Case("merged with the cell of a law", book(f"{good}\n{law}"), None, "cells of laws")
    yield Case(
        "exported as a script",
        tree({f"{SLUG}.py": f"# In[1]:\n{good}\n# In[2]:\n{law}"}),
        None,
        "cells of laws",
    )
    wrong = "class BlockManager:\n    def admit(self): return 1\n"
    yield Case("part of another exercise", tree({FILE: wrong}), None, "is the part of exercise 1")
    yield Case(
        "called after another exercise", tree({"block_manager.py": good}), None, "block_manager.py"
    )
    yield Case("own tests below", book(good, ("helper = PrefixCache\nsize = helper", False)), good)


def _answered(good: str) -> Iterator[Case]:
    """With an answer in plain words, which somebody has to read whatever becomes of the part."""
    said, sheets = "Because.", {"explain.md": answered("Because.")}
    yield Case("answers above the part", tree({f"hw3/{FILE}": good, **sheets}), good, answer=said)
    yield Case(
        "answers as text",
        tree({FILE: good, "explain (1).md.txt": answered(said)}),
        good,
        answer=said,
    )
    yield Case(
        "answers in an archive", tree({FILE: good, "more.zip": packed(sheets)}), good, answer=said
    )
    both = {"exercises/ex1_paged_allocation/explain.md": answered("Of another.", 1), FILE: good}
    yield Case(
        "answers of two",
        tree({**both, f"exercises/{SLUG}/explain.md": answered(said)}),
        good,
        answer=said,
    )
    lost = sheet(None, drop=True, answer=said)
    yield Case(
        "answers, cell gone", tree({f"{SLUG}.ipynb": lost}), None, "was deleted", answer=said
    )
    mine = {
        "work.zip": packed({f"{SLUG}.ipynb": sheet(good, answer=said)}),
        f"{SLUG}.ipynb": sheet(None),
    }
    yield Case("answers in a packed notebook", tree(mine), good, answer=said)
    yield Case(
        "answers and no part", tree({**sheets, f"{SLUG}.ipynb": sheet(None)}), OPEN, answer=said
    )
    other = {"prefix_cache_v1.py": good, "prefix_cache_v2.py": good + "x = 1\n"}
    yield Case(
        "answers and doubt",
        tree({**other, "hw.ipynb": sheet(None, answer=said)}),
        None,
        "v2",
        answer=said,
    )
