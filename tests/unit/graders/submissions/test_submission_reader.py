"""What is handed in: one declared file enters, from a file, folder, archive or notebook; the rest
is refused."""

from __future__ import annotations

import contextlib
import json
import os
import random
import stat
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from graders import Outcome, grade
from graders.submissions.source import read
from graders.submissions.submission_reader import LARGEST, Declared, UnusableSubmission, take

PART = Declared(
    "block_manager.py", "exercises/ex1_paged_allocation", "block_manager", ("BlockManager",)
)
SOURCE = b"class BlockManager:\n    def admit(self): return 1\n"
OTHER = b"class BlockManager:\n    def admit(self): return 2\n"


def refusal(path: Path, declared: Declared | None = PART) -> UnusableSubmission:
    with pytest.raises(UnusableSubmission) as refused:
        take(path, declared)
    return refused.value


def archive(path: Path, entries: Sequence[tuple[str, bytes]], mode: int = 0) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in entries:
            entry = zipfile.ZipInfo(name)
            entry.external_attr = mode << 16
            packed.writestr(entry, data, zipfile.ZIP_DEFLATED)
    return path


def notebook(path: Path, cells: Sequence[dict[str, Any]]) -> Path:
    path.write_text(
        json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": list(cells)})
    )
    return path


def cell(grade_id: str, source: Any) -> dict[str, Any]:
    return {
        "cell_type": "code",
        "metadata": {"nbgrader": {"grade_id": grade_id}},
        "source": source,
        "outputs": [],
    }


# ---------------------------------------------------------------- files


def test_a_file_enters_under_any_name(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_bytes(SOURCE)
    assert (take(path, PART).name, take(path, PART).data) == ("mine.py", SOURCE)


def test_a_missing_file_is_named_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "block_manager.py"
    assert refusal(path).problem == f"block_manager.py is missing: there is no file {path}."


def test_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere.py").write_bytes(SOURCE)
    (tmp_path / "block_manager.py").symlink_to("elsewhere.py")
    refused = refusal(tmp_path / "block_manager.py")
    assert (
        refused.problem
        == "block_manager.py is a symbolic link, not a file; hand in the file itself."
    )


def test_a_named_pipe_is_refused_without_waiting_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "block_manager.py")
    assert "is a named pipe, not a file" in refusal(tmp_path / "block_manager.py").problem


def test_a_device_is_refused() -> None:
    assert "is a device, not a file" in refusal(Path("/dev/zero")).problem


def test_a_name_that_no_file_can_have_is_refused() -> None:
    assert "cannot be read" in refusal(Path("a\0b.py")).problem


def test_a_large_file_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "block_manager.py"
    with path.open("wb") as file:
        file.truncate(10 << 30)
    assert (
        refusal(path).problem
        == f"block_manager.py is larger than {LARGEST // 1024} KiB, too large for one part."
    )


def test_without_a_declaration_a_folder_is_no_file(tmp_path: Path) -> None:
    assert "is a folder, not a file" in refusal(tmp_path, None).problem


# ---------------------------------------------------------------- folders


@pytest.mark.parametrize(
    "place", ["block_manager.py", "exercises/ex1_paged_allocation/block_manager.py"]
)
def test_the_declared_file_is_found_in_a_folder_and_nothing_else_is_looked_at(
    tmp_path: Path, place: str
) -> None:
    (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / place).write_bytes(SOURCE)
    os.mkfifo(tmp_path / "conftest.py")
    assert take(tmp_path, PART).data == SOURCE


def test_a_folder_without_the_file_says_which_one_is_missing(tmp_path: Path) -> None:
    assert refusal(tmp_path).problem == f"block_manager.py is missing: there is none in {tmp_path}."


def test_a_link_in_a_handed_in_folder_is_tampering(tmp_path: Path) -> None:
    (tmp_path / "block_manager.py").symlink_to("/etc/passwd")
    assert refusal(tmp_path).outcome is Outcome.INVALID


def test_a_linked_folder_in_a_handed_in_folder_is_tampering(tmp_path: Path) -> None:
    (tmp_path / "exercises").symlink_to("/")
    assert refusal(tmp_path).outcome is Outcome.INVALID


# ---------------------------------------------------------------- archives


def test_the_declared_file_is_read_from_an_archive(tmp_path: Path) -> None:
    path = archive(
        tmp_path / "work.zip", [("work/notes.txt", b"hello"), ("work/block_manager.py", SOURCE)]
    )
    assert take(path, PART).data == SOURCE


@pytest.mark.parametrize(
    "name", ["../block_manager.py", "/etc/block_manager.py", "a/../../x", "C:/x", "..\\x"]
)
def test_a_path_that_leaves_the_archive_is_tampering(tmp_path: Path, name: str) -> None:
    refused = refusal(
        archive(tmp_path / "work.zip", [("block_manager.py", SOURCE), (name, SOURCE)])
    )
    assert "a path that leaves it" in refused.problem
    assert refused.outcome is Outcome.INVALID


def test_a_link_in_an_archive_is_tampering(tmp_path: Path) -> None:
    path = archive(
        tmp_path / "work.zip", [("block_manager.py", b"/etc/passwd")], stat.S_IFLNK | 0o777
    )
    assert refusal(path).outcome is Outcome.INVALID


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    path = archive(tmp_path / "work.zip", [("block_manager.py", bytes(64 << 20))])
    refused = refusal(path)
    assert "unpacks to more than 256 KiB" in refused.problem
    assert refused.outcome is Outcome.INVALID


def test_a_flood_of_files_is_refused(tmp_path: Path) -> None:
    path = archive(tmp_path / "work.zip", [(f"{number}.py", b"") for number in range(2001)])
    assert "holds 2001 files" in refusal(path).problem


def test_of_two_different_files_of_the_name_none_is_chosen(tmp_path: Path) -> None:
    path = archive(
        tmp_path / "work.zip", [("a/block_manager.py", SOURCE), ("b/block_manager.py", SOURCE)]
    )
    assert take(path, PART).data == SOURCE  # which of two equal files is no question
    path = archive(
        tmp_path / "work.zip", [("a/block_manager.py", SOURCE), ("b/block_manager.py", OTHER)]
    )
    refused = refusal(path)
    assert (
        "a/block_manager.py in work.zip and b/block_manager.py in work.zip are different parts"
        in refused.problem
    )
    assert refused.outcome is Outcome.UNGRADED


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "work.zip").write_bytes(b"PK\3\4 and then nothing")
    assert "is no readable zip archive" in refusal(tmp_path / "work.zip").problem


def test_an_archive_cut_short_in_its_data_is_refused(tmp_path: Path) -> None:
    path = archive(tmp_path / "work.zip", [("block_manager.py", os.urandom(4000))])
    data = bytearray(path.read_bytes())
    data[200:300] = bytes(100)
    path.write_bytes(data)
    assert "is no readable zip archive" in refusal(path).problem


# ---------------------------------------------------------------- notebooks


def test_the_cell_is_read_as_data(tmp_path: Path) -> None:
    path = notebook(
        tmp_path / "ex1.ipynb",
        [cell("intro", "import os"), cell("block_manager", ["class A:\n", "    x"])],
    )
    assert take(path, PART).data == b"class A:\n    x"


def test_a_deleted_cell_is_named(tmp_path: Path) -> None:
    path = notebook(tmp_path / "ex1.ipynb", [cell("intro", "")])
    assert "has no cell 'block_manager' any more" in refusal(path).problem


def test_of_copies_of_the_cell_the_last_that_was_written_in_counts(tmp_path: Path) -> None:
    stub = "def admit():\n    raise NotImplementedError"
    written = "def admit():\n    return 1"
    copies = [cell("block_manager", text) for text in ("def admit(): ...", written, stub)]
    assert take(notebook(tmp_path / "ex1.ipynb", copies), PART).data.decode() == written


@pytest.mark.parametrize(
    "marks", [{}, {"grade_id": "mine", "solution": True}, {"grade_id": 7}, None]
)
def test_a_cell_that_was_renamed_or_lost_its_marks_is_known_by_what_it_defines(
    tmp_path: Path, marks: Any
) -> None:
    mine = {"cell_type": "code", "metadata": {"nbgrader": marks}, "source": SOURCE.decode()}
    path = notebook(
        tmp_path / "ex1.ipynb",
        [cell("intro", "import os"), mine, {"cell_type": "code", "metadata": {}}],
    )
    assert take(path, PART).data == SOURCE


def test_a_locked_cell_is_never_the_part(tmp_path: Path) -> None:
    path = notebook(tmp_path / "ex1.ipynb", [cell("law-1-1", SOURCE.decode())])
    assert "has no cell 'block_manager' any more" in refusal(path).problem


def test_a_notebook_of_the_format_before_is_read_too(tmp_path: Path) -> None:
    mine = {
        "cell_type": "code",
        "metadata": {"nbgrader": {"grade_id": "block_manager"}},
        "input": ["a = 1\n", "b = 2"],
    }
    (tmp_path / "ex1.ipynb").write_text(
        json.dumps({"nbformat": 3, "worksheets": [{"cells": [mine]}]})
    )
    assert take(tmp_path / "ex1.ipynb", PART).data == b"a = 1\nb = 2"


def test_a_magic_in_the_first_line_moves_no_line_number(tmp_path: Path) -> None:
    path = notebook(tmp_path / "ex1.ipynb", [cell("block_manager", "%%time\nx = 1")])
    assert take(path, PART).data == b"# %%time\nx = 1"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"cells": 3}',
        "{}",
        '{"worksheets": [7]}',
        "[" * 100_000,
        '{"worksheets": 7}',
        "\xff",
    ],
)
def test_what_is_no_notebook_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "ex1.ipynb").write_bytes(text.encode("latin-1"))
    assert "is not a notebook that can be read" in refusal(tmp_path / "ex1.ipynb").problem


# ---------------------------------------------------------------- the source itself


@pytest.mark.parametrize(
    "source",
    [
        "import a" + ".a" * 100_000,
        "import a" + ".\\\na" * 60_000,
        "x = " + "-" * 200_000 + "1",
        "x = " + "[" * 100_000,
        "x = " + "f(" * 50_000,
        "if a:\n    pass\n" + "elif a:\n    pass\n" * 10_000,
    ],
)
def test_a_source_made_to_hang_or_crash_its_reader_is_refused_at_once(
    tmp_path: Path, source: str
) -> None:
    path = tmp_path / "block_manager.py"
    path.write_text(source[:LARGEST])
    with pytest.raises(UnusableSubmission):
        read(path, "BlockManager")


def test_a_folder_is_graded_like_the_file_in_it(tmp_path: Path) -> None:
    (tmp_path / "block_manager.py").write_text(
        "class BlockManager:\n    def admit(self):\n        return\n"
    )
    result = grade(1, tmp_path, only=["1.1"])
    assert result.outcome is Outcome.FAIL
    assert "cannot be called as the contract says" in result.laws[0].message


@pytest.mark.parametrize(
    "encoding", ["zlib", "hex", "rot13", "undefined", "no-such-thing", "punycode"]
)
def test_an_encoding_of_something_else_than_text_is_no_encoding(
    tmp_path: Path, encoding: str
) -> None:
    path = tmp_path / "block_manager.py"
    path.write_bytes(
        b"# coding: " + encoding.encode() + b"\nclass BlockManager:\n    name = '\xff'\n"
    )
    with pytest.raises(UnusableSubmission, match="not UTF-8 text"):
        read(path, "BlockManager")


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_an_archive_packed_in_an_unusual_way_is_refused(tmp_path: Path, method: int) -> None:
    with zipfile.ZipFile(tmp_path / "work.zip", "w", method) as packed:
        packed.writestr("block_manager.py", SOURCE)
    assert "in an unusual way" in refusal(tmp_path / "work.zip").problem


def test_a_damaged_archive_is_taken_or_refused(tmp_path: Path) -> None:
    """Bytes changed, cut out and put in at random: never another exception."""
    chance, path = (
        random.Random(3),
        archive(tmp_path / "work.zip", [("a/block_manager.py", SOURCE), ("b", b"x")]),
    )
    whole = path.read_bytes()
    for _ in range(300):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 6)):
            place = chance.randrange(len(data))
            data[place : place + chance.randrange(3)] = chance.randbytes(chance.randrange(3))
        path.write_bytes(data)
        with contextlib.suppress(UnusableSubmission):
            take(path, PART)
