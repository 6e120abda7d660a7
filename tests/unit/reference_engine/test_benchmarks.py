"""The benchmark prints what it measured, and no share is above the roof."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from reference_engine import oracle
from reference_engine.benchmarks import context, decode_floor, kv_dtypes, quantization
from reference_engine.benchmarks import engine as bench
from reference_engine.model_loader import load_model
from reference_engine.naive import parts as naive_parts
from reference_engine.native.library import library, reason
from reference_engine.roofline import Ceilings
from reference_engine.slots import Request

SMALL = ["--model", "random:tiny", "--rounds", "1", "--threads", "1"]


def test_a_run_prints_rates_ratios_and_the_floor(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main([*SMALL, "--only", "single", "--no-transformers"]) == 0
    printed = capsys.readouterr().out
    assert "single stream: 64 prompt tokens, 256 output tokens" in printed
    assert "engine with naive parts" in printed
    assert printed.count("1 of 1 outputs right") == 2
    assert "floor of this machine" in printed
    assert "peak memory" in printed


def test_a_floor_that_was_measured_too_high_is_lowered_and_said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "measure_ceilings", lambda *_, **__: Ceilings(1e6, 1e6))
    assert bench.main([*SMALL, "--only", "single", "--no-transformers"]) == 0
    printed = capsys.readouterr().out
    assert 0 < int(printed.split("the engine's best reached ")[1].partition("%")[0]) <= 100
    assert "were measured, again too: the roof is raised to it" in printed


@pytest.mark.parametrize("wrong", [["--model", "cook"], ["--parts", "/nowhere"]])
def test_what_cannot_be_had_is_a_sentence(
    wrong: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench.main([*SMALL, *wrong]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_contender_who_says_too_little_ends_the_race() -> None:
    short = bench.BenchmarkedEngine(
        "short", lambda workload: ([[] for _ in workload.requests], 1.0)
    )
    workload = bench.Workload("one", (Request(0, [1], 3),))
    with pytest.raises(SystemExit, match="short did not say as many tokens"):
        bench.measure(workload, [short], 1)


def test_verification_counts_wrong_outputs() -> None:
    model = load_model("random:tiny")
    workload = bench.Workload("two", (Request(0, [1], 3), Request(1, [2], 3)))
    engine = bench.engine_contender("engine", model, naive_parts(), 64)
    outputs, _ = engine.serve(workload)
    lying = bench.BenchmarkedEngine("liar", lambda workload: ([outputs[0], [128] * 3], 1.0))
    assert bench.verified(model, workload, engine) == "2 of 2 outputs right"
    assert bench.verified(model, workload, lying) == "1 of 2 outputs right"


def test_transformers_is_looked_for_where_the_environment_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
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


def test_a_cost_off_the_line_through_the_others_is_seen() -> None:
    straight = {tokens: 2e-3 + 1e-6 * tokens for tokens in (256, 1024, 4096, 8192)}
    line = context.Line.through(straight)
    assert (line.start, line.slope) == (pytest.approx(2e-3), pytest.approx(1e-6))
    bent = {**straight, 8192: 1.5 * straight[8192]}
    assert max(abs(context.Line.through(bent).off(*each)) for each in bent.items()) > 0.1
    assert context.Line.through({64: 0.5}) == context.Line(0.5, 0.0)


def test_decode_steps_are_timed_at_every_context_in_turn(
    capsys: pytest.CaptureFixture[str],
) -> None:
    context.main(
        [
            "--model",
            "random:tiny",
            "--contexts",
            "40,20",
            "--rounds",
            "2",
            "--batch",
            "2",
            "--threads",
            "1",
        ]
    )
    told = capsys.readouterr().out
    head, first = told.splitlines()[:2]
    assert head == "random:custom@0, 2 at a time, 1 threads, products in float32, KV in float32"
    assert first.startswith("      20 tokens ")
    assert " of context, " in told


def test_what_fewer_bits_cost_is_told_beside_fp32(capsys: pytest.CaptureFixture[str]) -> None:
    model = load_model("waiter")
    ((tokens, answers),) = quantization.texts(model, 1)
    said = [index - 1 for index, spoken in enumerate(answers) if spoken]
    loss = torch.nn.functional.cross_entropy(
        oracle.logits(model, tokens)[said], torch.tensor(tokens)[answers]
    )
    quantization.main(["--dialogues", "1"])
    told = capsys.readouterr().out
    rows = {
        cells[1].strip(): cells[2:] for line in told.splitlines() if (cells := line.split("|"))[1:]
    }
    assert rows["fp32"][1].strip() == f"{loss:.5f} (fp32 {loss:.5f})"
    assert rows["fp32"][3].strip() == "100.00 %, 100.00 %"
    assert float(rows["fp32"][4]) == 0.0 < float(rows["int8 weights (q8_0)"][4])
    assert all(f"(fp32 {loss:.5f})" in cells[1] for cells in list(rows.values())[2:])


def test_a_loss_counts_what_is_not_the_token_of_fp32() -> None:
    exact = torch.tensor([[0.0, 1.0], [0.0, 2.0], [3.0, 0.0]])
    other = exact.clone()
    other[1] = torch.tensor([2.5, 2.0])
    both = quantization.Loss.of(other, exact, torch.tensor([1, 1, 1])) + quantization.Loss()
    assert (both.tokens, both.same, both.apart) == (3, 2, 2.5)
    due = torch.tensor([1.0, 2.0 - 2.5, -3.0]).double()
    assert both.nats == pytest.approx(float(torch.log1p(torch.exp(-due)).sum()))


def test_kv_of_both_kinds_is_timed_in_turn_at_every_context(
    capsys: pytest.CaptureFixture[str],
) -> None:
    kv_dtypes.main(["--contexts", "40,20", "--rounds", "3", "--batch", "2", "--threads", "1"])
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "8 heads, 2 of KV, 4 layers, 2 at a time, 1 threads, 3 rounds"
    assert [line.split("|")[1].strip() for line in told[2:]] == ["context", "---:", "20", "40"]


@pytest.mark.skipif(library() is None, reason=reason())
def test_a_step_is_held_against_a_read_of_what_it_reads(capsys: pytest.CaptureFixture[str]) -> None:
    assert decode_floor.main(["random:tiny", "--rounds", "3", "--context", "20"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith("after 20 tokens, ")
    assert told[4].startswith("| random:tiny | bf16 |")
    one = decode_floor.Round(step=2.0, read=1.0)
    assert one.share == 0.5
    line = decode_floor.row("tiny", decode_floor.WAYS[0], 2_000_000, [one, one, one])
    assert line == "| tiny | bf16 | 2 | 2000.00 | 1000.00 | 0.50 (0.50–0.50) |"
