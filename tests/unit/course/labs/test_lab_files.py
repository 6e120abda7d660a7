"""Files of labs: which of them count here, and what is done with the others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from made_up_labs import MACHINE, lab1, lab3

from course.errors import Problem
from course.labs.files import LabFiles, counting
from graders.experiments.results import NoResults


def test_a_whole_lab_counts_before_a_quick_one_and_a_finished_one_before_one_begun(
    tmp_path: Path,
) -> None:
    quick = lab1()
    whole = replace(quick, setup=replace(quick.setup, quick=False))
    begun = replace(whole, tasks=(*whole.tasks, "more"))
    LabFiles(tmp_path, 1, quick=True).keep(quick)
    LabFiles(tmp_path, 1, quick=False).keep(begun)
    assert counting(tmp_path, MACHINE)[0] == {1: quick}
    LabFiles(tmp_path, 1, quick=False).keep(whole)
    assert counting(tmp_path, MACHINE)[0] == {1: whole}


def test_results_of_another_machine_do_not_count_and_are_named(tmp_path: Path) -> None:
    LabFiles(tmp_path, 3, quick=True).keep(lab3())
    found, absent = counting(tmp_path, replace(MACHINE, cores=64))
    assert not found
    assert "lab3-quick.json is from another machine: its cores are 2, here 64" in absent[3]


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[]"])
def test_a_damaged_file_is_named_and_the_others_count(tmp_path: Path, content: bytes) -> None:
    LabFiles(tmp_path, 3, quick=True).keep(lab3())
    (tmp_path / "lab1.json").write_bytes(content)
    found, absent = counting(tmp_path, MACHINE)
    assert set(found) == {3}
    assert "lab1.json" in absent[1]


def test_no_file_is_no_fault(tmp_path: Path) -> None:
    assert LabFiles(tmp_path, 1, quick=True).load() is None
    assert counting(tmp_path / "nowhere", MACHINE) == ({}, {})


def test_what_is_set_aside_overwrites_nothing(tmp_path: Path) -> None:
    files = LabFiles(tmp_path, 1, quick=True)
    names = []
    for _ in "ab":
        files.keep(lab1())
        names.append(files.set_aside().name)
    assert names == ["lab1-quick.json.other-1", "lab1-quick.json.other-2"]


def test_a_folder_that_cannot_be_written_is_a_problem_and_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(Problem, match="cannot be written"):
        LabFiles(tmp_path / "taken", 1, quick=True).keep(lab1())


def test_a_folder_in_place_of_the_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "lab1.json").mkdir()
    with pytest.raises(NoResults, match="cannot be read"):
        LabFiles(tmp_path, 1, quick=False).load()
