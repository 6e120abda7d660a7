"""The choice of the device and the memory budget: what is missing is named in one sentence."""

from __future__ import annotations

import os

os.environ.setdefault("TRITON_INTERPRET", "1")

from dataclasses import replace
from unittest import mock

import pytest
import torch

from reference_engine.gpu import budget
from reference_engine.gpu.device import choose_device, refused
from reference_engine.gpu.runner import GpuRunner
from reference_engine.llama.config import SHAPES
from reference_engine.model import ModelError, random_model
from reference_engine.model_loader import load_model

EIGHT_B = SHAPES["llama-8b"]
GIB = 2**30


def test_a_block_takes_what_its_keys_and_values_take() -> None:
    assert budget.block_bytes(EIGHT_B, 16, torch.bfloat16) == 16 * 128 * 1024
    assert budget.block_bytes(SHAPES["tiny"], 1, torch.float32) == 2 * 2 * 2 * 8 * 4


def test_the_budget_depends_on_the_free_memory_and_the_sizes_alone() -> None:
    blocks = [
        budget.blocks_in(free * GIB, EIGHT_B, 16, torch.bfloat16) for free in (20, 40, 40, 80)
    ]
    assert blocks[0] < blocks[1] == blocks[2] < blocks[3]
    held = blocks[3] * budget.block_bytes(EIGHT_B, 16, torch.bfloat16)
    assert 0.85 * 80 * GIB < held < 0.95 * 80 * GIB


def test_no_room_for_one_block_is_said_with_what_would_be_needed() -> None:
    with pytest.raises(
        ValueError,
        match=r"^512 MiB are free on the device; one block .* take \d+ MiB: use a smaller",
    ):
        budget.blocks_in(GIB // 2, EIGHT_B, 16, torch.bfloat16)


def test_a_pool_too_large_is_refused_with_the_number_that_fits() -> None:
    most = budget.blocks_in(40 * GIB, EIGHT_B, 16, torch.bfloat16)
    budget.check_pool(40 * GIB, most, EIGHT_B, 16, torch.bfloat16)
    with pytest.raises(ValueError, match=f"; {most} blocks fit on the device$"):
        budget.check_pool(40 * GIB, most + 1, EIGHT_B, 16, torch.bfloat16)


@pytest.mark.parametrize(
    ("device", "built", "there", "count", "words"),
    [
        ("cpu", False, False, 0, ""),
        ("mps", True, True, 1, "no runner for mps"),
        ("cuda", False, False, 0, "built without CUDA"),
        ("cuda", True, False, 0, "sees no CUDA device"),
        ("cuda:3", True, True, 2, "no cuda:3: torch sees 2"),
        ("cuda:1", True, True, 2, ""),
    ],
)
def test_a_device_that_cannot_be_used_is_refused(
    device: str, built: bool, there: bool, count: int, words: str
) -> None:
    with (
        mock.patch.object(torch.version, "cuda", "13.0" if built else None),
        mock.patch.object(torch.cuda, "is_available", lambda: there),
        mock.patch.object(torch.cuda, "device_count", lambda: count),
    ):
        refusal = refused(torch.device(device))
    assert words in refusal and bool(words) == bool(refusal)


def test_without_a_gpu_the_cpu_is_chosen_and_the_reason_given() -> None:
    with mock.patch.object(torch.cuda, "is_available", lambda: False):
        choice = choose_device()
    assert choice.device.type == "cpu" and choice.name == "CPU" and choice.why


def test_a_model_is_put_on_the_device_that_is_there_or_refused() -> None:
    with mock.patch.object(torch.cuda, "is_available", lambda: False):
        assert load_model("random:tiny", device="auto").device.type == "cpu"
        with pytest.raises(ModelError, match="CUDA"):
            load_model("random:tiny", device="cuda")
    with pytest.raises(ModelError, match="no device called 'gpu'"):
        load_model("random:tiny", device="gpu")


def test_a_dtype_that_the_runner_does_not_compute_is_refused() -> None:
    model = random_model("tiny", dtype=torch.float16)
    with pytest.raises(ValueError, match="fp32 or bf16, not float16"):
        GpuRunner(model, num_blocks=4, block_size=2, seats=1, width=2)


def test_a_bf16_model_runs_and_is_close_to_fp32() -> None:
    from reference_engine.batch import Span, StepBatch

    model = random_model("tiny", seed=2)
    low = replace(model, weights={name: value.bfloat16() for name, value in model.weights.items()})
    logits = []
    for one in (model, low):
        runner = GpuRunner(one, num_blocks=4, block_size=4, seats=1, width=3)
        runner.tables.put(0, [2, 1])
        logits.append(runner.forward(StepBatch((Span(0, 0, [5, 6, 7], 1),))).logits.float())
    assert float((logits[0] - logits[1]).norm() / logits[0].norm()) < 5e-2
