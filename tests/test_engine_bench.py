"""The benchmark prints what it measured, and its floor is arithmetic that can be checked by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from reference_engine import bench
from reference_engine.bench_floor import Machine, floor
from reference_engine.llama.config import LlamaConfig
from reference_engine.model_loader import load_model
from reference_engine.naive import parts as naive_parts
from reference_engine.slots import Request

CONFIG = LlamaConfig(vocab=10, width=4, layers=1, heads=2, kv_heads=1, head_width=2, inner=6)
NUMBERS = 4 * 4 + 2 * 4 * 2 + 4 * 4 + 3 * 4 * 6 + 2 * 4 + 4  # q, k and v, o, the feed-forward part, three norms
SMALL = ["--model", "random:tiny", "--rounds", "1", "--threads", "1"]


def test_the_floor_by_operations() -> None:
    requests = [Request(0, [1, 2, 3], 5), Request(1, [1, 2, 3, 4], 2)]
    machine = Machine(peak=1.0, bandwidth=1e12)
    keys = 2 * 4 * 2  # all that the last layer owes to the 5 tokens after which nothing is said
    assert floor(CONFIG, requests, machine) == 2 * ((NUMBERS + 40) * 7 + keys * 5)
    assert floor(CONFIG, requests, machine, shared=3) == 2 * ((NUMBERS + 40) * 7 + keys * 2)
    deeper, layer = replace(CONFIG, layers=3), NUMBERS - 4
    numbers = 3 * layer + 4  # the last norm is counted with the layers
    assert floor(deeper, requests, machine) == pytest.approx(2 * ((numbers + 40) * 7 + (2 * numbers / 3 + keys) * 5))


def test_the_floor_by_bytes() -> None:
    requests = [Request(0, [1, 2, 3, 4], 2)]
    context = 4 * 2 * 2  # the first token is said where the prompt is read, the second reads it again
    assert floor(CONFIG, requests, Machine(peak=1e12, bandwidth=1.0)) == 4 * ((NUMBERS + 40) * 2 + context)
    requests = [Request(0, [1, 2, 3, 4], 4)]
    context = (4 + 5 + 6) * 2 * 2
    assert floor(CONFIG, requests, Machine(peak=1e12, bandwidth=1.0)) == 4 * ((NUMBERS + 40) * 4 + context)


def test_a_run_prints_rates_ratios_and_the_floor(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main([*SMALL, "--only", "single", "--no-transformers"]) == 0
    printed = capsys.readouterr().out
    assert "single stream: 64 prompt tokens, 256 output tokens" in printed
    assert "engine with naive parts" in printed
    assert printed.count("1 of 1 outputs right") == 2
    assert "floor of this machine" in printed
    assert "peak memory" in printed


@pytest.mark.parametrize("wrong", [["--model", "cook"], ["--parts", "/nowhere"]])
def test_what_cannot_be_had_is_a_sentence(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main([*SMALL, *wrong]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_contender_who_says_too_little_ends_the_race() -> None:
    short = bench.Contender("short", lambda workload: ([[] for _ in workload.requests], 1.0))
    workload = bench.Workload("one", (Request(0, [1], 3),))
    with pytest.raises(SystemExit, match="short did not say as many tokens"):
        bench.measure(workload, [short], 1)


def test_verification_counts_wrong_outputs() -> None:
    model = load_model("random:tiny")
    workload = bench.Workload("two", (Request(0, [1], 3), Request(1, [2], 3)))
    engine = bench.engine_contender("engine", model, naive_parts(), 64)
    outputs, _ = engine.serve(workload)
    lying = bench.Contender("liar", lambda workload: ([outputs[0], [128] * 3], 1.0))
    assert bench.verified(model, workload, engine) == "2 of 2 outputs right"
    assert bench.verified(model, workload, lying) == "1 of 2 outputs right"


def test_transformers_is_looked_for_where_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("COURSE_TRANSFORMERS_PYTHON", str(tmp_path / "python"))
    assert bench.transformers_python() is None
    (tmp_path / "python").touch()
    assert bench.transformers_python() == tmp_path / "python"


def test_a_child_that_ends_without_an_answer_is_a_sentence(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexit 3\n")
    python.chmod(0o755)
    with (
        pytest.raises(SystemExit, match="ended without an answer"),
        bench.transformers_contender(python, load_model("random:tiny")),
    ):
        pass
