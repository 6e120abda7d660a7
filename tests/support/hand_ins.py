"""What arrives when people hand in, each case seen in public reports, and the part that has to be found in it.

Every way of grading plays the same cases: same file, same part, same words, same points.
"""

from __future__ import annotations

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

EXERCISE = catalogue(3)
FILE, SLUG = EXERCISE.file_name, EXERCISE.slug
STUB = stub_of(EXERCISE)
LINK = (stat.S_IFLNK | 0o777) << 16


@dataclass(frozen=True, slots=True)
class Case:
    """One student's things. part: the text to be judged; None where a person has to look. says: in row or notices."""

    name: str
    write: Callable[[Path], None]
    part: str | None
    says: str = ""
    blame: str = "ungraded"  # for cases without a part


def sheet(text: str | None, *, drop: bool = False, marks: bool = True, **metadata: Any) -> str:
    """The exercise's notebook as students get it, with `text` in the cell to write in; None: the stub."""
    made = notebook.release(EXERCISE)
    made["metadata"] |= metadata
    for cell in made["cells"]:
        if cell["id"] == EXERCISE.slot and text is not None:
            cell["source"] = text
        if not marks:
            cell["metadata"].pop("nbgrader", None)
    if drop:
        made["cells"] = [cell for cell in made["cells"] if cell["id"] != EXERCISE.slot]
    return json.dumps(made)


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


def cases(good: str, other: str) -> Iterator[Case]:
    """Every case, for two different parts of exercise 3."""
    mac = {FILE: good, "__MACOSX/._" + FILE: b"\0", ".venv/bin/python": "/usr/bin/python3"}
    yield Case("plain", tree({FILE: good}), good)
    yield Case("canvas second upload", tree({"prefix_cache-1.py": good}), good)
    yield Case("browser copy", tree({f"{SLUG} (1).ipynb": sheet(good)}), good)
    yield Case("browser copy in its folder", tree({f"{SLUG}/{SLUG} (1).ipynb": sheet(good)}), good)
    yield Case("release zip", tree({f"{SLUG}.zip": packed({f"{SLUG}.ipynb": sheet(good), FILE: STUB})}), good)
    yield Case("release unpacked", tree({f"{SLUG}.ipynb": sheet(good), FILE: STUB}), good)
    yield Case("zip with a notebook alone", tree({"work.zip": packed({f"{SLUG}.ipynb": sheet(good)})}), good)
    yield Case("zip in capitals", tree({"work.ZIP": packed({FILE: good})}), good)
    yield Case("old windows zip", tree({"work.zip": packed({f"hw\\{SLUG}\\{FILE}": good})}), good)
    yield Case("mac zip with an environment", tree({"work.zip": packed(mac, {".venv/bin/python": LINK})}), good)
    yield Case("one folder deeper", tree({f"hw3/{FILE}": good}), good)
    yield Case("workspace", tree({f"exercises/{SLUG}/{FILE}": good, ".course/backups/prefix_cache.py": other}), good)
    yield Case("zip in a zip", tree({"all.zip": packed({"mine.zip": packed({FILE: good})})}), good)
    yield Case("two versions", tree({"prefix_cache_v1.py": good, "prefix_cache_v2.py": other}), None, "prefix_cache_v2")
    yield Case("the same twice", tree({FILE: good, "prefix_cache (1).py": good.replace("\n", "\r\n")}), good)
    yield Case("old one beside it", tree({FILE: good, "prefix_cache_old.py": other}), good, "_old.py was not judged")
    yield Case("cell and file", tree({f"{SLUG}.ipynb": sheet(good), FILE: other}), good, f"{FILE} was not judged")
    yield Case("file beside an open cell", tree({f"{SLUG}.ipynb": sheet(None), FILE: good}), good)
    yield Case("tests beside it", tree({FILE: good, "test_prefix_cache.py": "import prefix_cache\n"}), good)
    yield Case("tests and another name", tree({"work.py": good, "test_prefix_cache.py": "import work\n"}), good)
    yield Case("time magic", tree({f"{SLUG}.ipynb": sheet("%%time\n" + good)}), "# %%time\n" + good)
    shell = "!pip install numpy\n" + good
    yield Case("shell magic", tree({f"{SLUG}.ipynb": sheet(shell)}), "# " + shell)
    yield Case("marks lost", tree({f"{SLUG}.ipynb": sheet(good, marks=False)}), good)
    yield Case("marks lost, another name", tree({"Untitled.ipynb": sheet(good, marks=False)}), good)
    yield Case("colab widgets", tree({f"{SLUG}.ipynb": sheet(good, widgets={"application/x": {}})}), good)
    yield Case("byte order mark", tree({FILE: b"\xef\xbb\xbf" + good.encode()}), "\N{BYTE ORDER MARK}" + good)
    yield Case("what systems leave", tree({FILE: good, "desktop.ini": "x", "Thumbs.db": b"x"}), good)
    yield Case("decomposed name", tree({unicodedata.normalize("NFD", f"josé_{FILE}"): good}), good)
    yield Case("cell gone", tree({f"{SLUG}.ipynb": sheet(None, drop=True)}), None, "was deleted")
    yield Case("no zip", tree({"work.zip": "PK and no more", FILE: STUB}), None, "no readable zip archive")
    yield Case("a paper", tree({"essay.docx": "x"}), None, "essay.docx")
    yield Case("link", lambda home: os.symlink("/etc/hostname", home / FILE), None, "is a symbolic link", "invalid")
    yield Case("nothing", lambda home: None, None, "nothing was handed in", "fail")
