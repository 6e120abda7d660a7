"""`course lab`, `course claims`, `course reference` as they are typed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from made_up_labs import lab1, lab3, lab4, race, setup

from course import cli
from course.commands import reference
from course.errors import ExitCode
from course.labs import running
from course.labs.files import LabFiles
from graders.experiments import lab1 as measured_lab1
from graders.experiments.results import Finished, LabResults, LabSetup, read
from graders.experiments.session import Task
from graders.experiments.workbench import LabPlan
from graders.throughput.hardware import here

RATES = {
    "reference": {0: 100.0, 1: 50.0, 16: 300.0, 64: 400.0},
    "naive": {0: 50.0},
    "vllm": {0: 90.0, 1: 70.0},
}


def keep(folder: Path, *labs: LabResults) -> None:
    """As if they had been measured on this machine."""
    for each in labs:
        files = LabFiles(folder, each.setup.lab, each.setup.quick)
        files.keep(replace(each, setup=replace(each.setup, hardware=here())))


@pytest.fixture
def pretend(monkeypatch: pytest.MonkeyPatch) -> dict[str, Task]:
    """Tasks of lab 1 that take no time."""
    asked = {"prefill": Task("prefill", "reading", lambda: lab1().finished["all"])}
    monkeypatch.setattr(measured_lab1, "tasks", lambda plan: list(asked.values()))
    monkeypatch.setattr(running, "set_up", _mine)
    return asked


def _mine(plan: LabPlan) -> LabSetup:
    return setup(plan.lab, quick=plan.quick, hardware=here())


def test_a_lab_is_measured_kept_and_drawn(
    pretend: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["lab", "1", "--quick", "--folder", str(tmp_path)]) == ExitCode.PASS
    out = capsys.readouterr().out
    assert (
        "Reading, tokens/s" in out and "times the floor" in out and "7. An engine that reads" in out
    )
    assert {path.suffix for path in tmp_path.iterdir()} >= {".json", ".svg"}


def test_json_is_all_that_is_printed(
    pretend: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["lab", "1", "--quick", "--json", "--folder", str(tmp_path)]) == ExitCode.PASS
    assert json.loads(capsys.readouterr().out)["setup"]["lab"] == 1


def test_after_ctrl_c_the_same_command_goes_on(
    pretend: dict[str, Task], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt() -> Finished:
        raise KeyboardInterrupt

    pretend["later"] = Task("later", "what is interrupted", interrupt)
    assert cli.run(["lab", "1", "--quick", "--folder", str(tmp_path)]) == ExitCode.INTERRUPTED
    assert "goes on with the rest" in capsys.readouterr().err
    pretend["later"] = Task("later", "what is interrupted", Finished)
    assert cli.run(["lab", "1", "--quick", "--folder", str(tmp_path)]) == ExitCode.PASS
    assert "1 of 2: reading: kept from before" in capsys.readouterr().err


def test_what_is_missing_is_named_and_ends_with_a_code_of_its_own(
    pretend: dict[str, Task], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pretend["large"] = Task(
        "large", "a large model", lambda: Finished(failures={"large": "it does not fit"})
    )
    assert cli.run(["lab", "1", "--quick", "--folder", str(tmp_path)]) == ExitCode.UNGRADED
    assert "missing: large: it does not fit" in capsys.readouterr().out


@pytest.mark.parametrize("content", [b"{", b"of another machine"])
def test_a_file_that_does_not_count_is_kept_under_another_name(
    pretend: object, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    file = tmp_path / "lab1-quick.json"
    if content == b"{":
        file.write_bytes(content)
    else:
        LabFiles(tmp_path, 1, quick=True).keep(lab1())
    before = file.read_bytes()
    assert cli.run(["lab", "1", "--quick", "--folder", str(tmp_path)]) == ExitCode.PASS
    assert (tmp_path / "lab1-quick.json.other-1").read_bytes() == before
    assert "it is kept as" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (["lab", "5"], "there is no lab '5'; there are 1 (reading and writing)"),
        (["lab", "first"], "there is no lab 'first'"),
        (["lab", "1", "--engines", "vlm"], "there is no engine called 'vlm'"),
        (["lab", "1", "--model", "random:7b"], "no shape called '7b'"),
        (["lab", "4", "--engines", "vllm"], "lab 4 measures our engine alone"),
    ],
)
def test_what_was_typed_wrongly_is_told_in_a_sentence(
    typed: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(typed) == ExitCode.USAGE
    assert told in capsys.readouterr().err


def test_a_model_that_cannot_be_had_is_a_setup_without_sizes() -> None:
    assert running._sizes("random:nothing") == {}
    assert running._sizes("nowhere") == {}
    assert running._sizes("waiter@20m")["width"] == 384
    assert running._sizes("waiter")["vocab"] == 1024


def test_a_setup_made_here_can_be_kept_and_read_back() -> None:
    """torch's version is a text of a kind of its own, which no encoder knows."""
    plan = LabPlan(1, quick=True, models=("random:tiny",), engines=("llama.cpp",))
    made = running.set_up(plan)
    assert read(LabResults(made, ("a",)).as_json()).setup == made
    assert set(made.versions) == {"inference-kitchen", "torch", "llama.cpp"}


def test_the_claims_are_told_with_verdict_and_figure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keep(tmp_path, lab3(), lab4())
    assert cli.run(["claims", "--folder", str(tmp_path)]) == ExitCode.PASS
    out = capsys.readouterr().out
    assert out.count("did not hold here") == 5 and out.count("cannot be measured here") == 3
    assert cli.run(["claims", "--json", "--folder", str(tmp_path)]) == ExitCode.PASS
    told = json.loads(capsys.readouterr().out)
    assert told["9"]["verdict"] == "did not hold here" and "17.0%" in told["9"]["measured"]
    assert told["7"]["because"].startswith("lab 1 was not run")


def test_the_reference_is_a_table_a_page_and_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reference, "_cards", lambda *_: ())
    keep(tmp_path, lab1(race(RATES)))
    page = tmp_path / "page.html"
    for flags in ([], ["--md"], ["--json"], ["--html", str(page)]):
        assert cli.run(["reference", "--folder", str(tmp_path), *flags]) == ExitCode.PASS
    out = capsys.readouterr().out
    assert "the popular answer, ollama, was not measured here" in out
    assert "| engine | version | prefill, tok/s |" in out and "| 300 | 400 |" in out
    assert "<td>400</td>" in page.read_text(encoding="utf-8")


def test_a_page_that_cannot_be_written_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reference, "_cards", lambda *_: ())
    assert (
        cli.run(["reference", "--folder", str(tmp_path), "--html", str(tmp_path)]) == ExitCode.USAGE
    )
    assert "cannot be written" in capsys.readouterr().err
