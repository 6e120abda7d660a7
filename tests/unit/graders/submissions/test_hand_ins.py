"""One reader of hand-ins: the same files give the same part and the same words, whoever asks."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import hand_ins
import pytest
from hand_ins import EXERCISE, FILE, SLUG, STUB, Case, packed, sheet, tree

from graders.batch.discovery import DiscoveredJob, Discovery
from graders.batch.grade_job import judge
from graders.batch.jobs import UNKNOWN, Options
from graders.reports import words
from graders.reports.row import Row
from graders.result import Outcome
from graders.submissions.parcel import items, opened
from graders.submissions.roster import Roster, read
from graders.submissions.submission_reader import Declared, UnusableSubmission, canonical, take

GOOD = "class PrefixCache:\n    def match(self, tokens):\n        return ()\n"
OTHER = f"{GOOD}    size = 1\n"
CASES = list(hand_ins.cases(GOOD, OTHER))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_part_is_found_however_it_was_handed_in(tmp_path: Path, case: Case) -> None:
    (tmp_path / "ada").mkdir()
    case.write(tmp_path / "ada")
    for ada in (one(tmp_path / "ada"), one(tmp_path / "ada", own=True)):
        if case.part is None:
            assert (ada.job.blame, ada.data) == (case.blame, b"")
            assert case.says in ada.job.problem
        else:
            assert (canonical(ada.data).decode(), ada.job.problem) == (
                canonical(case.part.encode()).decode(),
                "",
            )
            assert case.says in " ".join(ada.job.notices)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_folder_that_is_graded_by_itself_gives_the_same_part(tmp_path: Path, case: Case) -> None:
    case.write(tmp_path)
    if case.part is not None:
        assert canonical(take(tmp_path, Declared.of(EXERCISE)).data) == canonical(
            case.part.encode()
        )
    else:
        with pytest.raises(UnusableSubmission) as refused:
            take(tmp_path, Declared.of(EXERCISE))
        assert refused.value.outcome.value == case.blame


def one(folder: Path, *, own: bool = False) -> DiscoveredJob:
    """The job that comes of one student's folder, in a class or by itself."""
    (found,) = Discovery((3,), Options(grader="x"), one=own).all([folder if own else folder.parent])
    return found


def students(path: Path, roster: Roster | None = None) -> dict[str, str]:
    discovery = Discovery((3,), Options(grader="x"), roster=roster)
    return {each.job.student: each.data.decode() for each in discovery.all([path])}


# ---------------------------------------------------------------- whose is it

MOODLE = "Lovelace Ada_12345_assignsubmission_file"


def test_a_canvas_zip_of_a_class_is_split_by_student(tmp_path: Path) -> None:
    ada, bob = "lovelaceada_1001_5679_prefix_cache-1.py", "bobbob_LATE_10011_5680_prefix_cache.py"
    (tmp_path / "submissions.zip").write_bytes(packed({ada: GOOD, bob: OTHER}))
    assert students(tmp_path / "submissions.zip") == {"lovelaceada": GOOD, "bobbob": OTHER}


def test_a_canvas_folder_of_a_class_is_split_by_student(tmp_path: Path) -> None:
    tree(
        {
            "lovelaceada_1001_5679_prefix_cache-1.py": GOOD,
            "bob_10011_5680_ex3.zip": packed({FILE: OTHER}),
        }
    )(tmp_path)
    assert students(tmp_path) == {"lovelaceada": GOOD, "bob": OTHER}


@pytest.mark.parametrize("top", ["", "class/"])
def test_a_moodle_zip_of_a_class_is_split_by_student(tmp_path: Path, top: str) -> None:
    things = {
        f"{top}{MOODLE}/{FILE}": GOOD,
        f"{top}Bob B_77_assignsubmission_file/{SLUG}.ipynb": sheet(OTHER),
    }
    (tmp_path / "all.zip").write_bytes(packed(things))
    assert students(tmp_path / "all.zip") == {"Lovelace Ada_12345": GOOD, "Bob B_77": OTHER}
    assert students(tmp_path) == {"Lovelace Ada_12345": GOOD, "Bob B_77": OTHER}


def test_archives_in_the_archive_of_a_class_are_their_students_and_so_is_what_lies_in_them(
    tmp_path: Path,
) -> None:
    inner = {
        who: packed({FILE: GOOD, f"{SLUG}.ipynb": sheet(None, answer=who)})
        for who in ("Ada A", "Bob B", "cyd")
    }
    things = {
        f"{who}_{len(who)}_assignsubmission_file/work.zip": inner[who] for who in ("Ada A", "Bob B")
    }
    (tmp_path / "all.zip").write_bytes(packed({**things, "cyd_1001_5679_work-1.zip": inner["cyd"]}))
    found = {
        each.job.student: each
        for each in Discovery((3,), Options(grader="x")).all([tmp_path / "all.zip"])
    }
    assert {who: each.data.decode() for who, each in found.items()} == dict.fromkeys(
        ("Ada A_5", "Bob B_5", "cyd"), GOOD
    )
    for who, each in found.items():
        path, name = each.job.notebook
        assert f'"{who.partition("_")[0]}"' in opened(Path(path), name).decode()


def test_what_a_student_wrote_in_canvas_itself_is_a_row_and_not_left_out(tmp_path: Path) -> None:
    tree({"ada_1001_5679_text.html": "<p>class PrefixCache</p>", "bob_7_8_prefix_cache.py": GOOD})(
        tmp_path
    )
    found = {
        each.job.student: each.job for each in Discovery((3,), Options(grader="x")).all([tmp_path])
    }
    assert (found["ada"].blame, found["bob"].problem) == ("ungraded", "")


def test_a_folder_that_cannot_be_looked_into_is_a_question_and_no_zero(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree({"ada/hw/x": "", f"bob/{FILE}": GOOD})(tmp_path)
    look = os.scandir

    def locked(path: Path) -> Iterator[os.DirEntry[str]]:
        if Path(path).name == "hw":
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return look(path)

    monkeypatch.setattr(os, "scandir", locked)
    found = {
        each.job.student: each.job for each in Discovery((3,), Options(grader="x")).all([tmp_path])
    }
    assert (found["ada"].blame, "hw cannot be read: Permission denied" in found["ada"].problem) == (
        "ungraded",
        True,
    )


def test_an_archive_that_cannot_be_read_counts_beside_a_stub_in_another_place(
    tmp_path: Path,
) -> None:
    tree({f"ada/{FILE}": STUB, "ada.zip": "PK and no more", f"bob/{FILE}": GOOD, "bob.zip": "PK"})(
        tmp_path
    )
    found = {
        each.job.student: each.job for each in Discovery((3,), Options(grader="x")).all([tmp_path])
    }
    assert (found["ada"].blame, found["bob"].problem) == ("ungraded", "")


def test_more_files_than_anybody_looks_through_are_a_question_and_no_zero(tmp_path: Path) -> None:
    tree({f"ada/{number}": "" for number in range(9)})(tmp_path)
    found = items(tmp_path / "ada", most=5)
    with pytest.raises(UnusableSubmission, match="too many files"):
        found[-1].open(1)


def test_an_archive_of_one_student_with_two_tries_is_one_student(tmp_path: Path) -> None:
    (tmp_path / "ada.zip").write_bytes(packed({f"try1/{FILE}": GOOD, f"try2/{FILE}": GOOD}))
    assert students(tmp_path / "ada.zip") == {"ada": GOOD}


def test_folders_that_the_roster_knows_are_students_in_an_archive(tmp_path: Path) -> None:
    (tmp_path / "class.zip").write_bytes(packed({f"x/ada/{FILE}": GOOD, f"x/bob/{FILE}": OTHER}))
    assert students(tmp_path / "class.zip", Roster(("ada", "bob"))) == {"ada": GOOD, "bob": OTHER}


def test_an_upload_number_is_no_part_of_a_students_id(tmp_path: Path) -> None:
    tree({"1001_prefix_cache-1.py": GOOD, "10011_prefix_cache.py": OTHER})(tmp_path)
    assert students(tmp_path) == {"1001": GOOD, "10011": OTHER}


def test_what_systems_and_gradebooks_leave_in_a_class_is_no_student(tmp_path: Path) -> None:
    tree(
        {
            f"ada/{FILE}": GOOD,
            "desktop.ini": "x",
            "grades.csv": "x",
            "Thumbs.db": "x",
            ".DS_Store": "x",
        }
    )(tmp_path)
    assert students(tmp_path) == {"ada": GOOD}


def test_loose_files_that_nobody_opens_are_their_students_questions(tmp_path: Path) -> None:
    tree({"ada.7z": b"7z", "bob_prefix_cache.txt": GOOD, "cyd.tar.gz": b"x", "notes.txt": "x"})(
        tmp_path
    )
    found = {
        each.job.student: each.job.blame
        for each in Discovery((3,), Options(grader="x")).all([tmp_path])
    }
    assert found == dict.fromkeys(("ada", "bob", "cyd"), "ungraded")


def test_a_loose_archive_of_two_students_is_a_question(tmp_path: Path) -> None:
    tree({"ada_bob.zip": packed({f"ada/{FILE}": GOOD, f"bob/{FILE}": OTHER}), f"cyd/{FILE}": GOOD})(
        tmp_path
    )
    found = {
        each.job.student: each.job for each in Discovery((3,), Options(grader="x")).all([tmp_path])
    }
    assert {who: job.blame for who, job in found.items() if job.problem} == {"ada_bob": "ungraded"}


def test_gradescopes_list_says_whose_a_folder_is(tmp_path: Path) -> None:
    listed = "submission_7:\n  :submitters:\n  - :name: Ada\n    :sid: '1001'\n    :email: ada@example.org\n"
    tree(
        {
            "submission_metadata.yml": listed,
            f"submission_7/{FILE}": GOOD,
            f"submission_8/{FILE}": OTHER,
        }
    )(tmp_path)
    assert students(tmp_path) == {"1001": GOOD, "submission_8": OTHER}


@pytest.mark.parametrize("known", [Roster(), Roster(("1001", "1002"))])
def test_what_a_group_handed_in_to_gradescope_is_everybodys(tmp_path: Path, known: Roster) -> None:
    people = "  - :name: {0}\n    :sid: '{1}'\n    :email: {0}@example.org\n"
    group = people.format("ada", 1001) + people.format("bob", 1002)
    listed = f"submission_7:\n  :submitters:\n{group}  :created_at: 2027-01-31 10:00:00\n"
    tree({"submission_metadata.yml": listed, f"submission_7/{FILE}": GOOD})(tmp_path)
    assert students(tmp_path, known) == {"1001": GOOD, "1002": GOOD}


# ---------------------------------------------------------------- the roster


def roster(tmp_path: Path, text: str) -> Roster:
    (tmp_path / "students.csv").write_text(text, encoding="utf-8")
    return read(tmp_path / "students.csv")


def test_names_find_their_student_by_id_then_as_stated_then_in_another_writing(
    tmp_path: Path,
) -> None:
    stated = "\N{BYTE ORDER MARK}id,canvas,moodle,github\nada,lovelaceada,,ada-l\njosé,,77,\n1001,,,\n10011,,,\n"
    known = roster(tmp_path, stated)
    found = {
        name: known.find([name])
        for name in ("ada", "Ada", "lovelaceada", "ex3-Ada-L", "jose\u0301", "77")
    }
    assert found == {
        "ada": "ada", "Ada": "ada", "lovelaceada": "ada", "ex3-Ada-L": "ada", "jose\u0301": "josé", "77": "josé",
    }  # fmt: skip
    assert known.find(["100"]) is None
    assert (known.find(["1001"]), known.find(["10011"])) == ("1001", "10011")
    assert known.find(["ex3-ada"]) is None


def test_a_roster_is_read_as_spreadsheets_save_it(tmp_path: Path) -> None:
    for text in (
        "id;canvas\n007;bond\n",
        "name\tID\tcanvas\rJ\t007\tbond\r",
        'id,canvas\n"007","bond"\n',
    ):
        for encoding in ("utf-8-sig", "utf-16"):
            (tmp_path / "students.csv").write_bytes(text.encode(encoding))
            known = read(tmp_path / "students.csv")
            assert (known.ids, known.find(["Bond"]), known.find(["7"])) == (("007",), "007", "007")


def test_zeros_that_a_spreadsheet_drops_change_nobody(tmp_path: Path) -> None:
    known = roster(tmp_path, "id\n7\n042\n42\n")
    assert [known.find([name]) for name in ("007", "42", "042", "0042", "70")] == [
        "7",
        "42",
        "042",
        None,
        None,
    ]


@pytest.mark.parametrize("text", ["name\nada\n", "id\nada\nada\n", "id,github\nada,x\nbob,X\n"])
def test_a_roster_that_says_two_things_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(Exception, match=r"students\.csv"):
        roster(tmp_path, text)


def test_whom_the_roster_does_not_know_is_named_with_who_may_be_meant(tmp_path: Path) -> None:
    tree({f"class/ada/{FILE}": GOOD, f"class/adda/{FILE}": GOOD, f"class/zoe/{FILE}": GOOD})(
        tmp_path
    )
    discovery = Discovery((3,), Options(grader="x"), roster=Roster(("ada", "bob")))
    discovery.all([tmp_path / "class"])
    assert discovery.strangers == {"adda": "ada", "zoe": ""}


# ---------------------------------------------------------------- doubt is no zero


def test_doubt_is_kept_as_a_question_for_a_person_and_never_as_a_zero(tmp_path: Path) -> None:
    tree({"ada/prefix_cache_v1.py": GOOD, "ada/prefix_cache_v2.py": OTHER})(tmp_path)
    job = one(tmp_path / "ada").job
    row = Row("ada", 3, judge(job, tmp_path, Options(grader="x"), 1))
    assert row.result.outcome is Outcome.UNGRADED
    assert (words.state(row), words.ungraded(row)) == ("needs a person", True)


def test_a_broken_archive_without_a_trace_of_an_exercise_is_one_row(tmp_path: Path) -> None:
    tree({"class/ada/work.zip": "PK", f"class/bob/{FILE}": STUB})(tmp_path)
    found = Discovery((), Options(grader="x")).all([tmp_path / "class"])
    assert [(each.job.student, each.job.exercise) for each in found] == [
        ("ada", UNKNOWN),
        ("bob", 3),
    ]
