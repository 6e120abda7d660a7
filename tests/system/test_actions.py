"""The composite action and the workflows: their scripts really run, and nothing of a submission
gets into them."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import tomllib
import xml.etree.ElementTree as ElementTree
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sample_class
import yaml
from sample_rows import WRONG

from graders.registry.catalogue import exercises
from graders.reports import github

ROOT = Path(__file__).parents[2]
GITHUB = ROOT / ".github"


def _admit() -> Any:
    found = importlib.util.spec_from_file_location("admit", GITHUB / "admit.py")
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


admit = _admit()


def read(name: str) -> dict[Any, Any]:
    document: dict[Any, Any] = yaml.safe_load((GITHUB / name).read_text())
    return document


def steps(name: str) -> list[dict[str, Any]]:
    document = read(name)
    if "runs" in document:
        return list(document["runs"]["steps"])
    return [step for job in document["jobs"].values() for step in job["steps"]]


NAMES = ("actions/grade/action.yml", "workflows/hand-in.yml", "workflows/judge.yml")
OWN = "workflows/tests.yml"  # of the project itself


@pytest.mark.parametrize("name", [*NAMES, OWN])
def test_no_text_of_a_pull_request_becomes_code(name: str) -> None:
    scripts = [step["run"] for step in steps(name) if "run" in step]
    assert all("${{" not in script for script in scripts)
    for script in scripts:
        assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0


def test_no_job_has_a_secret_or_may_write() -> None:
    for name in NAMES[1:]:
        document = read(name)
        assert document["permissions"] == {}
        assert "secrets." not in (GITHUB / name).read_text()
        for name, job in document["jobs"].items():
            may = {"write"} if name == "tell" else {"read"}
            assert set(job["permissions"].values()) == may


def test_the_job_that_writes_at_the_pull_request_runs_nothing_and_may_nothing_else() -> None:
    job = read("workflows/judge.yml")["jobs"]["tell"]
    assert (job["permissions"], job["runs-on"]) == ({"checks": "write"}, "ubuntu-24.04")
    assert [step["uses"].partition("@")[0] for step in job["steps"] if "uses" in step] == [
        "actions/download-artifact"
    ]


@pytest.mark.parametrize("judged", [True, False])
def test_a_check_run_is_written_at_the_commit_that_was_handed_in(
    tmp_path: Path, judged: bool
) -> None:
    (script,) = [
        step["run"]
        for step in read("workflows/judge.yml")["jobs"]["tell"]["steps"]
        if "run" in step
    ]
    if judged:
        (tmp_path / "reports").mkdir()
        (tmp_path / "reports" / "check.json").write_text(
            github.check([replace(WRONG, source="s/bob/" + PART)])
        )
    (tmp_path / "curl").write_text('#!/bin/sh\nprintf "%s\\n" "$@" > asked\ncat > sent\n')
    (tmp_path / "curl").chmod(0o755)
    names = {
        "TOKEN": "t",
        "SHA": "abc",
        "RUN": "u",
        "GITHUB_API_URL": "https://api",
        "GITHUB_REPOSITORY": "o/r",
    }
    environment = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", **names}
    subprocess.run(["bash", "-c", script], cwd=tmp_path, env=environment, check=True)
    sent = json.loads((tmp_path / "sent").read_text())
    assert (sent["head_sha"], sent["details_url"], sent["name"]) == ("abc", "u", github.NAME)
    assert sent["conclusion"] == ("failure" if judged else "neutral") and sent["output"]["summary"]
    assert "https://api/repos/o/r/check-runs" in (tmp_path / "asked").read_text().split("\n")
    if judged:
        (note,) = sent["output"]["annotations"]
        assert (note["path"], note["start_line"]) == (f"exercises/{PART}", 41)


def test_the_projects_own_tests_only_read_and_take_no_action_that_may_change() -> None:
    document = read(OWN)
    # no trigger that brings rights of the base along
    assert set(document[True]) == {"push", "pull_request"}
    assert document["permissions"] == {"contents": "read"}
    assert "secrets." not in (GITHUB / OWN).read_text()
    (job,) = document["jobs"].values()
    assert "self-hosted" not in job["runs-on"] and "permissions" not in job
    used = [step["uses"] for step in steps(OWN) if "uses" in step]
    assert used and all(re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", action) for action in used)
    (checkout,) = [step for step in steps(OWN) if "checkout" in step.get("uses", "")]
    assert checkout["with"]["persist-credentials"] is False


def test_the_projects_own_tests_are_the_readmes_commands_on_every_python_it_names() -> None:
    (job,) = read(OWN)["jobs"].values()
    assert [step["run"] for step in steps(OWN) if "run" in step] == [
        "make demo PYTHON=python",
        "make test PYTHON=python",
    ]
    least = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    named = re.findall(
        r"python(3\.\d+)", (ROOT / "Makefile").read_text().split("CANDIDATES :=")[1].splitlines()[0]
    )
    assert job["strategy"]["matrix"]["python"] == named
    assert least == f">={named[0]}"


def test_the_job_that_judges_never_checks_out_what_was_handed_in() -> None:
    document = read("workflows/judge.yml")
    assert list(document[True]) == ["workflow_run"]  # taken from the default branch
    job = document["jobs"]["judge"]
    assert "self-hosted" in job["runs-on"]
    (checkout,) = [step for step in job["steps"] if "checkout" in step.get("uses", "")]
    assert checkout["with"]["ref"] == "${{ github.event.repository.default_branch }}"
    assert checkout["with"]["persist-credentials"] is False


@pytest.mark.parametrize("name", [*NAMES, OWN])
def test_no_action_may_change_under_its_name(name: str) -> None:
    used = [step["uses"] for step in steps(name) if "uses" in step]
    assert all(
        re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}|\./\.github/actions/grade", action)
        for action in used
    )


def test_only_a_hand_in_of_a_class_is_judged() -> None:
    job = read("workflows/judge.yml")["jobs"]["judge"]
    run = "github.event.workflow_run"
    assert set(job["if"].split(" && ")) == {
        "vars.KITCHEN_CLASS == 'true'",
        f"{run}.conclusion == 'success'",
        f"{run}.event == 'pull_request'",
        f"{run}.path == '.github/workflows/hand-in.yml'",
    }
    (admitted,) = [step["env"] for step in job["steps"] if "admit.py" in step.get("run", "")]
    assert admitted["LOGIN"] == "${{ github.event.workflow_run.actor.login }}"


def parcel(path: Path, *entries: tuple[str, bytes], mode: int = 0) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in entries:
            entry = zipfile.ZipInfo(name)
            entry.external_attr = mode << 16
            packed.writestr(entry, data, zipfile.ZIP_DEFLATED)
    return path


PART = "ex1_paged_allocation/block_manager.py"


def test_the_parts_of_whoever_started_the_run_are_let_in(tmp_path: Path) -> None:
    (path,) = admit.unpack(
        parcel(tmp_path / "p.zip", (f"bob/{PART}", b"mine")), "bob", tmp_path / "in"
    )
    assert path == tmp_path / "in" / "bob" / PART and path.read_bytes() == b"mine"


@pytest.mark.parametrize(
    ("entries", "mode", "says"),
    [
        ([(f"alice/{PART}", b"")], 0, "bob handed in something for 'alice'"),
        ([(f"bob/{PART}", b""), (f"alice/{PART}", b"")], 0, "for 'alice'"),
        ([(f"bob/../alice/{PART}", b"")], 0, "is no part"),
        ([(f"/bob/{PART}", b"")], 0, "for ''"),
        ([("bob/ex1_paged_allocation/conftest.py", b"")], 0, "is no part"),
        ([("bob/ex1_paged_allocation/", b"")], 0, "is no part"),
        ([(f"bob/{PART}", b"/etc/passwd")], 0o120777, "is no part"),
        ([(f"bob/{PART}", b"0" * (9 << 20))], 0, "unpacks to more"),
        ([(f"bob/{PART}", b"1"), (f"bob/{PART}", b"2")], 0, "holds a file twice"),
        ([], 0, "is empty"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_nothing_else_of_a_parcel_is_let_in(
    tmp_path: Path, entries: list[tuple[str, bytes]], mode: int, says: str
) -> None:
    with pytest.raises(admit.Refused, match=says):
        admit.unpack(parcel(tmp_path / "p.zip", *entries, mode=mode), "bob", tmp_path / "in")
    assert not (tmp_path / "in").exists()


@pytest.mark.parametrize("login", ["", "../bob", "bob/x", "-bob", "b" * 40])
def test_what_is_no_login_lets_nothing_in(tmp_path: Path, login: str) -> None:
    with pytest.raises(admit.Refused, match="no login"):
        admit.unpack(parcel(tmp_path / "p.zip", (f"{login}/{PART}", b"")), login, tmp_path / "in")


@pytest.mark.parametrize("sizes", [[], [1, 1], [17 << 20]])
def test_one_parcel_of_a_run_is_fetched_and_no_large_one(sizes: list[int]) -> None:
    found = [
        {
            "name": "submissions",
            "expired": False,
            "size_in_bytes": size,
            "archive_download_url": "u",
        }
        for size in sizes
    ]
    with pytest.raises(admit.Refused):
        admit.address(json.dumps({"artifacts": found}).encode())
    listing = {
        "artifacts": [
            {
                "name": "submissions",
                "expired": False,
                "size_in_bytes": 9,
                "archive_download_url": "u",
            }
        ]
    }
    assert admit.address(json.dumps(listing).encode()) == "u"


def test_the_workflow_that_packs_takes_the_declared_files_that_were_changed(tmp_path: Path) -> None:
    """Files of the base are nobody's: a stub that was not touched is no part that was handed in."""
    (script,) = [step["run"] for step in steps("workflows/hand-in.yml") if "run" in step]
    home = tmp_path / "handed-in"
    git = ["git", "-C", str(home), "-c", "user.name=x", "-c", "user.email=x@example.org"]
    files = {each.slug: each.file_name for each in exercises()}
    for slug, name in files.items():
        (home / "exercises" / slug).mkdir(parents=True)
        (home / "exercises" / slug / name).write_text("stub")
        (home / "exercises" / slug / f"{slug}.ipynb").write_text("stub")
    subprocess.run([*git, "init", "-q"], check=True)
    for message in ("base", "merge"):
        subprocess.run([*git, "add", "-A"], check=True)
        subprocess.run([*git, "commit", "-qm", message], check=True)
        (home / "exercises" / "ex1_paged_allocation" / "block_manager.py").write_text("mine")
        (home / "exercises" / "ex1_paged_allocation" / "conftest.py").write_text("never")
        (home / "exercises" / "ex2_batching_scheduler" / "scheduler.py").unlink(missing_ok=True)
        (home / "exercises" / "ex2_batching_scheduler" / "scheduler.py").symlink_to("/etc/passwd")
        (home / "exercises" / "ex3_prefix_cache" / "ex3_prefix_cache.ipynb").write_text("mine")
    environment = {"PATH": os.environ["PATH"], "STUDENT": "$(touch hacked)"}
    subprocess.run(["bash", "-c", script], cwd=tmp_path, env=environment, check=True)
    found = (tmp_path / "submissions").rglob("*.*")
    assert sorted(path.relative_to(tmp_path / "submissions").as_posix() for path in found) == [
        "$(touch hacked)/ex1_paged_allocation/block_manager.py",
        "$(touch hacked)/ex3_prefix_cache/ex3_prefix_cache.ipynb",
    ]
    assert not (tmp_path / "hacked").exists()


def test_every_exercise_is_among_the_files_that_are_packed() -> None:
    (script,) = [step["run"] for step in steps("workflows/hand-in.yml") if "run" in step]
    (pattern,) = re.findall(r"s#\^exercises/\((.*)\)\$#", script)
    for each in exercises():
        for name in (each.file_name, f"{each.slug}.ipynb"):
            assert re.fullmatch(pattern, f"{each.slug}/{name}")
            assert (ROOT / "exercises" / each.slug / name).is_file()


@pytest.fixture
def runner(tmp_path: Path) -> dict[str, str]:
    """The variables of a runner, as far as the scripts use them."""
    names = ("GITHUB_ENV", "GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")
    files = {name: str(tmp_path / name.lower()) for name in names}
    for file in files.values():
        Path(file).touch()
    return {
        **os.environ,
        **files,
        "RUNNER_TEMP": str(tmp_path),
        "GITHUB_RUN_ATTEMPT": "1",
        "GITHUB_WORKSPACE": str(tmp_path),
        "PYTHONPATH": str(ROOT),
    }


def run(
    number: int, runner: dict[str, str], tmp_path: Path, **inputs: str
) -> subprocess.CompletedProcess[str]:
    """A step of the action, its inputs filled in."""
    step = steps("actions/grade/action.yml")[number]
    return subprocess.run(
        ["bash", "-c", step["run"]],
        cwd=tmp_path,
        env={**runner, **inputs},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_action_grades_and_reports(runner: dict[str, str], tmp_path: Path) -> None:
    installed = run(
        0, runner, tmp_path, PYTHON=sys.executable, HERE=str(GITHUB / "actions" / "grade")
    )
    assert installed.returncode == 0, installed.stderr
    assert Path(runner["GITHUB_ENV"]).read_text() == f"KITCHEN_PYTHON={sys.executable}\n"
    sample_class.enrol(
        tmp_path / "submissions",
        [sample_class.stub(3, "ada", "a"), sample_class.syntax_error(3, "bob", "b")],
    )
    done = run(
        1,
        runner,
        tmp_path,
        KITCHEN_PYTHON=sys.executable,
        SUBMISSIONS="submissions",
        EXERCISE="3",
        REQUIRE="L1",
        LAWS_ONLY="true",
        REPORTS="reports",
        JOURNAL="",
    )
    assert done.returncode == 1, done.stderr
    assert "::error file=submissions/ada/prefix_cache.py" in done.stdout
    assert Path(runner["GITHUB_OUTPUT"]).read_text() == "code=1\n"
    told = json.loads((tmp_path / "reports" / "check.json").read_text())
    assert told["conclusion"] == "failure" and len(told["output"]["annotations"]) == 2
    assert "0 of 2 passed" in Path(runner["GITHUB_STEP_SUMMARY"]).read_text()
    assert len(ElementTree.parse(tmp_path / "reports" / "report.xml").getroot()) == 2
    assert (tmp_path / "reports" / "report.json").stat().st_size
