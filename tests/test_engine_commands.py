"""`course engines` and `course race` as they are typed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from course.cli import run
from course.commands import race as race_command
from graders.engines.race import Plan
from graders.engines.standings import Course, Entrant, Lap, Result, Standings, read

COURSE = Course(
    workload="ragged",
    model="waiter",
    seed=0,
    scale=1.0,
    rounds=1,
    device="cpu",
    machine="a machine",
    threads=2,
    dtype="float32",
    kv_tokens=4096,
    max_seqs=64,
    prefix_cache=False,
    arriving=False,
    requests=64,
    bandwidth=1e10,
    peak=1e11,
    date="2026-11-23",
    busy=0.5,
)
LAP = Lap(0, 0, "abc", 2.0, 1.5, 300, 100, (0.5, 0.9), (0.01, 0.02), 0.1)
FINE = Standings(COURSE, (Entrant("reference", "ours", "1"),), (Result("reference", "whole", 0, (LAP,)),))
OUT = Standings(
    COURSE, (*FINE.entrants, Entrant("vllm", "vLLM", failure="died", sentence="vllm died: it was killed")), FINE.results
)


@pytest.fixture(autouse=True)
def nothing_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COURSE_ENGINES", str(tmp_path / "engines"))


def test_engines_lists_every_engine_and_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["engines"]) == 0
    said = capsys.readouterr().out
    for word in ("reference", "naive", "vllm", "sglang", "tensorrt-llm", "llama.cpp", "ollama", "transformers"):
        assert word in said
    assert "course engines install" in said


def test_engines_list_is_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    run(["engines"])
    first = capsys.readouterr().out
    assert run(["engines", "list"]) == 0
    assert capsys.readouterr().out == first


@pytest.mark.parametrize("verb", ["install", "try"])
def test_an_unknown_engine_is_named(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["engines", verb, "gpt"]) == 2
    assert "there is no engine called 'gpt'" in capsys.readouterr().err


def test_what_is_not_installed_cannot_be_tried(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["engines", "try", "transformers"]) == 3
    assert "course engines install transformers" in capsys.readouterr().err


def test_what_cannot_be_had_here_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["engines", "install", "tensorrt-llm", "--device", "cpu"]) == 3
    assert "TensorRT-LLM needs an NVIDIA GPU" in capsys.readouterr().err


def test_our_own_engine_needs_no_installation(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["engines", "install", "reference"]) == 0
    assert "installed already" in capsys.readouterr().out


@pytest.mark.parametrize("found", [FINE, OUT])
def test_race_prints_writes_and_ends_with_its_code(
    found: Standings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[Plan] = []

    def run_it(plan: Plan) -> Standings:
        asked.append(plan)
        return found

    monkeypatch.setattr(race_command, "_run", run_it)
    files = ["--json", str(tmp_path / "race.json"), "--svg", str(tmp_path / "race.svg")]
    code = run(["race", "--engines", "reference, vllm", "--pairs", "3", "--sweep", "1,8", *files])
    assert code == (0 if found is FINE else 3)
    assert asked == [Plan(("reference", "vllm"), rounds=3, batches=(1, 8))]
    assert read((tmp_path / "race.json").read_text()) == found
    assert (tmp_path / "race.svg").read_text().startswith("<svg")
    said = capsys.readouterr().out
    assert "50" in said
    assert ("vllm died: it was killed" in said) == (found is OUT)


@pytest.mark.parametrize("sweep", ["one", "0", "-4,8"])
def test_a_sweep_of_no_batches_is_a_usage_error(sweep: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["race", f"--sweep={sweep}"]) == 2
    assert "are no batches" in capsys.readouterr().err


def test_an_unknown_engine_in_a_race_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["race", "--engines", "reference,gpt"]) == 2
    assert "no engine called 'gpt'" in capsys.readouterr().err


def test_a_plot_that_cannot_be_written_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(race_command, "_run", lambda plan: FINE)
    assert run(["race", "--svg", str(tmp_path)]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_help_needs_no_torch() -> None:
    typed = "run(['race', '--help']); run(['engines'])"
    code = f"import sys; from course.cli import run; {typed}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0
