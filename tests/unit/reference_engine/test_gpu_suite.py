"""The GPU suite without a GPU: every section runs dry, and what goes wrong is told rather than
raised."""

from __future__ import annotations

import os

os.environ.setdefault("TRITON_INTERPRET", "1")

import json
import sys
import time
from pathlib import Path
from unittest import mock

import pytest
import torch

from reference_engine.gpu.suite import __main__, kernel_checks, opponents
from reference_engine.gpu.suite.card import Section, SectionOutcome
from reference_engine.gpu.suite.engines import NANO, DeviceSizes, parts_in
from reference_engine.gpu.suite.step_speed import roofline
from reference_engine.llama.config import SHAPES
from reference_engine.roofline import Ceilings

torch.set_num_threads(1)
QUICK = ("ceilings", "tokens", "kernel speed", "steps", "throughput", "tuning", "vllm", "sglang")


def room(seconds: float = 300.0) -> DeviceSizes:
    return DeviceSizes(torch.device("cpu"), True, parts_in(None)[0], time.monotonic() + seconds)


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    out = tmp_path_factory.mktemp("suite") / "card.json"
    assert __main__.main(["--dry", "--out", str(out), "--only", *QUICK]) == 0
    return json.loads(out.read_text())


def test_a_dry_run_writes_a_card_that_says_it_was_dry(card: dict[str, object]) -> None:
    assert card["dry"] is True and card["passed"] is True and card["hardware"]["device"] == "CPU"
    assert card["versions"]["torch"] == torch.__version__ and card["date"].startswith("20")
    outcomes = {section["name"]: section["outcome"] for section in card["sections"]}
    assert list(outcomes) == list(QUICK)
    assert outcomes["tokens"] == outcomes["steps"] == outcomes["throughput"] == "pass"


def test_the_laws_of_all_four_exercises_are_checked(card: dict[str, object]) -> None:
    laws = {
        row["law"]: row["holds"]
        for section in card["sections"]
        if section["name"] == "tokens"
        for row in section["rows"]
    }
    for law in ("under preemption", "shared prefixes are cached", "random heads change no text"):
        assert laws[law] is True


def test_figures_are_numbers_with_their_floors(card: dict[str, object]) -> None:
    rows = {section["name"]: section["rows"] for section in card["sections"]}
    assert {row["kernel"] for row in rows["kernel speed"]} >= {
        "decode_attention",
        "prefill_attention",
        "greedy",
    }
    assert all(row["us"] > 0 and row["floor_us"] > 0 for row in rows["kernel speed"])
    assert all(row["of_roofline"] > 0 for row in rows["steps"])
    assert all(row["complete"] for row in rows["throughput"])


def test_the_roofline_is_the_published_one() -> None:
    h200 = Ceilings(bandwidth=4.3e12, peak=790e12)
    assert roofline(SHAPES["llama-8b"], 1, 1024, h200) == pytest.approx(3.5e-3, rel=0.1)
    assert roofline(SHAPES["llama-1b"], 256, 1024, h200) == pytest.approx(2.6e-3, rel=0.1)


def test_a_wrong_kernel_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = dict(kernel_checks.KERNELS, silu_mul=lambda both: both.chunk(2, dim=-1)[1])
    monkeypatch.setattr(kernel_checks, "KERNELS", wrong)
    monkeypatch.setattr(kernel_checks, "CASES", {"silu_mul": kernel_checks.CASES["silu_mul"]})
    section = kernel_checks.check(room())
    assert section.outcome is SectionOutcome.FAIL and "silu_mul" in section.message


def test_a_section_that_breaks_off_fails_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(room: DeviceSizes) -> Section:
        raise RuntimeError("out of patience")

    with mock.patch("reference_engine.gpu.suite.token_checks.check", broken):
        code = __main__.main(["--dry", "--out", str(tmp_path / "card.json"), "--only", "tokens"])
    assert code == 1
    assert "tokens: error" in capsys.readouterr().out
    section = json.loads((tmp_path / "card.json").read_text())["sections"][0]
    assert section["message"] == "RuntimeError: out of patience"


def test_without_time_sections_are_skipped(tmp_path: Path) -> None:
    out = tmp_path / "card.json"
    assert (
        __main__.main(["--dry", "--seconds", "-1", "--out", str(out), "--only", "tokens", "steps"])
        == 0
    )
    assert {section["message"] for section in json.loads(out.read_text())["sections"]} == {
        "no time left"
    }


def test_without_a_gpu_nothing_is_measured_in_earnest(capsys: pytest.CaptureFixture[str]) -> None:
    with mock.patch.object(torch.cuda, "is_available", lambda: False):
        assert __main__.main([]) == 2
    assert "no GPU to measure" in capsys.readouterr().err


def test_an_unknown_section_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert __main__.main(["--dry", "--only", "speed"]) == 2
    assert "no section called 'speed'" in capsys.readouterr().err


COUNT = """
import math, pathlib, loaded_weights
def count(folder):
    shapes = [header["shape"] for _, _, header in loaded_weights.tensors(pathlib.Path(folder)).values()]
    return {"parameters": sum(map(math.prod, shapes)), "dtype": "bfloat16"}
"""
FAKES = {
    "vllm": {
        "vllm/__init__.py": COUNT
        + """
class SamplingParams:
    def __init__(self, *, max_tokens, **rest): self.max_tokens = max_tokens
class Said:
    def __init__(self, count): self.outputs = [self]; self.token_ids = [1] * count
class LLM:
    def __init__(self, model, **rest):
        assert rest["skip_tokenizer_init"] and rest["worker_extension_cls"] == "loaded_weights.Reporter"
        self.model = model
    def collective_rpc(self, method): return [count(self.model)]
    def generate(self, prompts, params, use_tqdm): return [Said(each.max_tokens) for each in params]
""",
        "vllm/inputs.py": "def TokensPrompt(prompt_token_ids): return prompt_token_ids\n",
    },
    "sglang": {
        "sglang/__init__.py": "",
        "sglang/srt/managers/scheduler.py": """
from sglang.srt.model_executor.model_runner import ModelRunner
def run_scheduler_process(path): ModelRunner().load_model(path)
""",
        "sglang/srt/model_executor/model_runner.py": """
import torch
from types import SimpleNamespace
from safetensors.torch import load_file
class ModelRunner:
    def load_model(self, path):
        self.model_config = SimpleNamespace(model_path=path)
        self.model = torch.nn.Module()
        for name, weight in load_file(path + "/model.safetensors").items():
            self.model.register_parameter(name.replace(".", "_"), torch.nn.Parameter(weight))
""",
        "sglang/srt/entrypoints/engine.py": """
class Engine:
    def __init__(self, model_path, **rest): self.run_scheduler_process_func(model_path)
    def generate(self, input_ids, sampling_params):
        return [{"output_ids": [1] * (each["max_new_tokens"] - 1)} for each in sampling_params]
""",
    },
}


def install(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package of that name which the suite and its child processes can import."""
    for path, source in FAKES[name].items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(source)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])


def test_an_installed_peer_is_raced_on_the_same_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("vllm", tmp_path, monkeypatch)
    section = opponents.measure(room(), "vllm")
    assert section.outcome is SectionOutcome.PASS
    assert [row["complete"] for row in section.rows] == [True, True]
    assert all(row["tokens_s"] > 0 for row in section.rows)
    assert {(row["parameters"], row["dtype"]) for row in section.rows} == {
        (NANO.parameters, "bfloat16")
    }


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ("math.prod, shapes)) - 1", f"another model: {NANO.parameters - 1} parameters in bfloat16"),
        ("float32", f"another model: {NANO.parameters} parameters in float32"),
    ],
)
def test_a_peer_that_serves_another_model_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: str, said: str
) -> None:
    install("vllm", tmp_path, monkeypatch)
    source = tmp_path / "vllm" / "__init__.py"
    old = "bfloat16" if told == "float32" else "math.prod, shapes))"
    source.write_text(source.read_text().replace(old, told))
    section = opponents.measure(room(), "vllm")
    assert section.outcome is SectionOutcome.FAIL and "served another model" in section.message
    assert said in section.rows[0]["why"] and section.rows[0]["tokens_s"] is None


def test_a_peer_that_says_too_little_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("sglang", tmp_path, monkeypatch)
    section = opponents.measure(room(), "sglang")
    assert section.outcome is SectionOutcome.FAIL and "wrong length" in section.message
    assert section.rows[0]["parameters"] == NANO.parameters, "its scheduler told what it has loaded"


def test_a_peer_that_does_not_start_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("vllm", tmp_path, monkeypatch)
    (tmp_path / "vllm" / "inputs.py").write_text("raise ImportError('no such kernel image')\n")
    section = opponents.measure(room(), "vllm")
    assert section.rows[0]["why"] == "ImportError: no such kernel image"
