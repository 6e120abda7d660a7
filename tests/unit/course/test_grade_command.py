"""`course grade` and `course submit` as a person types them."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import sample_class
from conftest import Type
from sample_rows import RIGHT, UNGRADED, WRONG
from wrong_parts import wrong_part, wrong_parts

from course.batch_grading import exit_code
from course.nbgrader_glue import notebook
from course.targets import stub_of
from course.workspace import Workspace
from graders.batch.journal import Journal
from graders.registry.catalogue import catalogue
from graders.reports.row import Row
from graders.submissions.submission_reader import Declared, take

STUB = stub_of(catalogue(3))
PLAIN = ("--laws-only", "--seed", "1")


@pytest.fixture
def desks(tmp_path: Path) -> Path:
    """A class of four, none of them slow to judge."""
    sample_class.enrol(
        tmp_path / "class",
        [
            sample_class.stub(3, "ada", "a"),
            sample_class.syntax_error(3, "=bob", "b"),
            sample_class.notebook(3, "cyd", STUB, "fail"),
            sample_class.archive(3, "dan", STUB, "fail"),
        ],
    )
    return tmp_path / "class"


def test_a_class_is_graded_and_failures_are_no_error(course: Type, desks: Path) -> None:
    typed = course("grade", str(desks), *PLAIN)
    assert typed.code == 0
    assert "4 rows: 4 fail." in typed.out
    assert "prefix_cache.py has a syntax error in line 2" in typed.out
    assert "4 of 4 judged" in typed.err


def test_a_second_time_nothing_is_judged_again(course: Type, desks: Path) -> None:
    course("grade", str(desks), *PLAIN)
    results = desks.with_name("class.journal") / "results"
    before = {path: path.stat().st_mtime_ns for path in results.iterdir()}
    (desks / "ada" / "prefix_cache.py").write_text(f"{STUB}# better\n")
    typed = course("grade", str(desks), *PLAIN)
    assert typed.code == 0
    after = {path: path.stat().st_mtime_ns for path in results.iterdir()}
    assert {path: after[path] for path in before} == before
    assert len(after) == len(before) + 1


def test_for_one_submission_a_failure_is_exit_code_1(course: Type, desks: Path) -> None:
    assert course("grade", str(desks / "ada" / "prefix_cache.py"), *PLAIN).code == 1
    assert course("grade", str(desks / "ada"), *PLAIN).code == 1
    assert course("grade", str(desks), *PLAIN, "--check").code == 1
    assert not list(desks.glob("*.journal"))


def test_all_formats_at_once(
    course: Type, desks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    files = {kind: tmp_path / f"report.{kind}" for kind in ("json", "junit", "markdown")}
    wanted = [word for kind, file in files.items() for word in ("--format", f"{kind}={file}")]
    extra = ("--csv", str(tmp_path / "a.csv"), "--html", str(tmp_path / "a.html"))
    typed = course("grade", str(desks), *PLAIN, *wanted, *extra, "--format", "github")
    assert typed.code == 0
    assert typed.out.startswith("::stop-commands::")
    assert [row["student"] for row in json.loads(files["json"].read_text())["rows"]] == [
        "=bob",
        "ada",
        "cyd",
        "dan",
    ]
    assert files["junit"].read_text().startswith("<?xml")
    assert (tmp_path / "a.csv").read_text().count("\n") == 5
    assert "'=bob" in (tmp_path / "a.csv").read_text()
    assert "=bob" in (tmp_path / "a.html").read_text()
    assert (tmp_path / "summary.md").read_text().startswith("# Inference kitchen")


def test_json_alone_is_all_there_is_on_stdout(course: Type, desks: Path) -> None:
    typed = course("grade", str(desks / "ada"), *PLAIN, "--format", "json")
    assert json.loads(typed.out)["summary"]["states"] == {"fail": 1}


def test_gradescope_for_a_class_is_refused_and_the_results_are_kept(
    course: Type, desks: Path
) -> None:
    typed = course("grade", str(desks), *PLAIN, "--format", "gradescope")
    assert typed.code == 2
    assert "about one student; these are about 4" in typed.err
    assert len(Journal(desks.with_name("class.journal")).committed()) == 4


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "nothing to grade was named"),
        (("nowhere",), "there is no nowhere"),
        (("--claim",), "nothing to grade was named"),
        ((".", "--claim"), "--claim needs --journal DIR"),
        ((".", "--format", "pdf"), "'pdf' is no format"),
        ((".", "--format", "json="), "names no file"),
        ((".", "--format", "json", "--format", "junit"), "cannot share stdout"),
        ((".", "--exercise", "9"), "there is no exercise 9"),
        ((".", "--bounds", "nowhere.toml"), "nowhere.toml cannot be read"),
        (("--journal", "nowhere"), "is no journal"),
    ],
)
def test_what_is_typed_wrongly_is_one_sentence(
    course: Type, arguments: tuple[str, ...], words: str
) -> None:
    typed = course("grade", *arguments)
    assert typed.code == 2
    assert words in typed.err
    assert "Traceback" not in typed.err


def test_an_empty_folder_is_nobody(course: Type, tmp_path: Path) -> None:
    (tmp_path / "class").mkdir()
    typed = course("grade", str(tmp_path / "class"))
    assert typed.code == 2
    assert "there is nobody to grade" in typed.err


@pytest.mark.parametrize("option", ["--csv", "--html", "--format"])
def test_a_report_that_cannot_be_written_is_told_before_anything_is_judged(
    course: Type, desks: Path, option: str
) -> None:
    file = "/nowhere/at/all.csv"
    typed = course(
        "grade", str(desks), *PLAIN, option, f"json={file}" if option == "--format" else file
    )
    assert typed.code == 2
    assert f"{file} cannot be written: there is no folder /nowhere/at" in typed.err
    assert not desks.with_name("class.journal").exists()


def test_a_dry_run_says_who_gets_what_and_writes_nothing(
    course: Type, desks: Path, tmp_path: Path
) -> None:
    names = sorted(path.name for path in desks.iterdir())
    (tmp_path / "roster.csv").write_text("\n".join(["id", *names, "zoe"]))
    order = ("grade", str(desks), *PLAIN, "--roster", str(tmp_path / "roster.csv"), "--dry-run")
    typed = course(*order)
    assert typed.code == 0, typed.err
    assert all(name in typed.out for name in names)
    assert typed.out.count(" new ") == 4
    assert "Nothing of 1: zoe" in typed.out
    assert not desks.with_name("class.journal").exists()
    assert course(*order[:-1]).code == 0
    assert course(*order).out.count(" same ") == 4


def test_whom_the_roster_does_not_know_stops_at_the_door(
    course: Type, desks: Path, tmp_path: Path
) -> None:
    names = sorted(path.name for path in desks.iterdir())
    (tmp_path / "roster.csv").write_text("\n".join(["id", *names[1:]]))
    order = ("grade", str(desks), *PLAIN, "--roster", str(tmp_path / "roster.csv"))
    typed = course(*order)
    assert typed.code == 2
    assert f"of nobody on the roster: {names[0]}" in typed.err and "--accept-new" in typed.err
    assert not desks.with_name("class.journal").exists()
    assert course(*order, "--accept-new").code == 0


def test_claiming_workers_do_the_work_that_another_planned(
    course: Type, desks: Path, tmp_path: Path
) -> None:
    journal = str(tmp_path / "journal")
    assert course("grade", str(desks), *PLAIN, "--journal", journal, "--claim").code == 0
    typed = course("grade", "--journal", journal)
    assert typed.code == 0
    assert "4 rows: 4 fail." in typed.out


def test_everything_that_can_be_wrong_is_a_row_and_the_batch_goes_on(
    course: Type, tmp_path: Path
) -> None:
    pupils = list(sample_class.broken_inputs(3))
    expected = sample_class.enrol(tmp_path / "class", pupils)
    out = tmp_path / "report.json"
    typed = course(
        "grade", str(tmp_path / "class"), "--exercise", "3", *PLAIN, "--format", f"json={out}"
    )
    assert typed.code == 3, typed.err
    rows = json.loads(out.read_text())["rows"]
    assert len(rows) == len(expected)
    said = {row["verdict"] for row in rows}
    for pupil in pupils:
        assert any(pupil.says in verdict for verdict in said), pupil.name
    assert {row["state"] for row in rows} == {"fail", "invalid", "needs a person"}
    # with the timed laws left out for everybody
    assert len({row["result"]["max_points"] for row in rows}) == 1


def test_what_is_not_judged_yet_is_ungraded_and_starts_nobody(
    course: Type, desks: Path, tmp_path: Path
) -> None:
    typed = course(
        "grade", str(desks), *PLAIN, "--journal", str(tmp_path / "journal"), "--launcher", "none"
    )
    assert typed.code == 3
    assert "4 rows: 4 ungraded." in typed.out
    assert "Not graded: it was not its turn yet." in typed.out
    assert not list((tmp_path / "journal" / "leases").iterdir())


@pytest.mark.parametrize(
    ("rows", "check", "code"),
    [
        ([RIGHT], True, 0),
        ([RIGHT, WRONG], False, 0),
        ([RIGHT, WRONG], True, 1),
        ([RIGHT, WRONG, UNGRADED], True, 3),
        ([replace(RIGHT, result=replace(RIGHT.result, advisory=True))], True, 4),
        ([WRONG, replace(RIGHT, result=replace(RIGHT.result, advisory=True))], True, 1),
        ([replace(RIGHT, result=replace(RIGHT.result, advisory=True))], False, 4),
    ],
)
def test_the_exit_code_is_the_worst_news(rows: list[Row], check: bool, code: int) -> None:
    assert exit_code(tuple(rows), check=check) == code


# ---------------------------------------------------------------- submit


def test_submit_packs_the_declared_file_and_says_what_is_in_it(
    course: Type, place: Workspace
) -> None:
    part = place.exercises / "ex3_prefix_cache" / "prefix_cache.py"
    sample_class.wrong("me", wrong_parts(3)[0], "mine").write(part.parent)
    (part.parent / "secret.txt").write_text("not for anyone")
    typed = course("submit", "3")
    assert typed.code == 0
    assert "ex3_prefix_cache/prefix_cache.py" in typed.out
    assert f"{part.stat().st_size} bytes" in typed.out
    with zipfile.ZipFile("ex3_prefix_cache.zip") as archive:
        assert archive.namelist() == ["ex3_prefix_cache/prefix_cache.py"]
        assert archive.read("ex3_prefix_cache/prefix_cache.py") == part.read_bytes()
    assert course("submit", "3").code == 2
    before = Path("ex3_prefix_cache.zip").read_bytes()
    assert course("submit", "3", "--force").code == 0
    assert Path("ex3_prefix_cache.zip").read_bytes() == before


def test_submit_packs_what_was_written_in_the_notebook_if_the_file_was_left_alone(
    course: Type, place: Workspace
) -> None:
    folder = place.exercises / "ex3_prefix_cache"
    sheet = notebook.release(catalogue(3))
    cell = next(cell for cell in sheet["cells"] if cell["id"] == "prefix_cache")
    cell["source"] = wrong_part(3, "match_stores").text
    (folder / "ex3_prefix_cache.ipynb").write_text(notebook.text(sheet))
    typed = course("submit", "3")
    assert (
        typed.code == 0
        and "from the cell in" in typed.out
        and "ex3_prefix_cache.ipynb" in typed.out
    )
    with zipfile.ZipFile("ex3_prefix_cache.zip") as archive:
        assert archive.read("ex3_prefix_cache/prefix_cache.py").decode() == cell["source"]
        assert archive.read("ex3_prefix_cache/ex3_prefix_cache.ipynb").decode() == notebook.text(
            sheet
        )
    (folder / "prefix_cache.py").write_text("class PrefixCache:\n    def match(self): return 1\n")
    typed = course("submit", "3", "--force")
    assert typed.code == 0 and "prefix_cache.py is another text and not in the archive" in typed.out
    assert (
        take(Path("ex3_prefix_cache.zip"), Declared.of(catalogue(3))).data.decode()
        == cell["source"]
    )


def test_what_was_packed_is_what_is_graded(course: Type, place: Workspace) -> None:
    sample_class.syntax_error(3, "me", "x").write(place.exercises / "ex3_prefix_cache")
    assert course("submit", "3").code == 1
    part = place.exercises / "ex3_prefix_cache" / "prefix_cache.py"
    part.write_text("class PrefixCache:\n    def match(self):\n        return 1\n")
    assert course("submit", "3", "--output", "ada.zip").code == 0
    typed = course("grade", "ada.zip", *PLAIN)
    assert typed.code == 1
    assert "ada" in typed.out


def test_an_untouched_stub_is_not_packed(course: Type) -> None:
    typed = course("submit", "3")
    assert typed.code == 1
    assert "untouched stub" in typed.err
    assert not Path("ex3_prefix_cache.zip").exists()
