"""In how few bytes a matrix is stored: what rounding to int8 costs, and that storing costs nothing."""

from __future__ import annotations

import pytest
import torch

from reference_engine.formats import GROUP, Stored, stored_as, to_int8
from reference_engine.llama.config import LlamaConfig
from reference_engine.model import random_model
from reference_engine.model_loader import load_model
from reference_engine.quantized import quantized


def test_rounding_to_int8_is_off_by_half_a_step_of_its_group_at_most_and_keeps_what_is_largest() -> (
    None
):
    torch.manual_seed(0)
    matrix = torch.randn(5, 3 * GROUP) * torch.tensor([0.1, 1.0, 50.0]).repeat_interleave(GROUP)
    rounded, groups = to_int8(matrix).view(5, 3, GROUP), matrix.view(5, 3, GROUP)
    largest = groups.abs().amax(-1, keepdim=True)
    assert ((rounded - groups).abs() <= largest * (0.5 / 127 + 2**-10)).all()
    assert torch.equal(
        rounded.gather(-1, groups.abs().argmax(-1, keepdim=True)).abs(),
        rounded.abs().amax(-1, True),
    )


def test_rounding_again_changes_nothing_and_zeros_stay() -> None:
    torch.manual_seed(1)
    matrix = torch.randn(40, 4 * GROUP)
    matrix[3] = 0
    once = to_int8(matrix)
    assert torch.equal(to_int8(once), once)
    assert not once[3].any()


def test_rows_that_are_no_groups_are_refused() -> None:
    with pytest.raises(ValueError, match="rows of 40 weights are no groups of 32"):
        to_int8(torch.zeros(2, 40))


def test_a_matrix_is_stored_as_small_as_it_can_be() -> None:
    torch.manual_seed(2)
    matrix = torch.randn(8, 2 * GROUP)
    assert stored_as(matrix) is Stored.FP32
    assert stored_as(matrix.bfloat16()) is stored_as(matrix.bfloat16().float()) is Stored.BF16
    assert stored_as(to_int8(matrix)) is Stored.INT8
    assert stored_as(to_int8(matrix)[:, :40]) is not Stored.INT8


def test_a_matrix_of_zeros_is_stored_as_its_neighbours_are() -> None:
    """A layer that does nothing, as those that make a model larger, is no int8 checkpoint."""
    zeros = torch.zeros(4, GROUP)
    assert stored_as(zeros) is stored_as(zeros.bfloat16()) is Stored.BF16
    assert stored_as(zeros, zeros=Stored.INT8) is Stored.INT8
    assert stored_as(zeros, to_int8(torch.ones(4, GROUP))) is Stored.INT8
    larger = load_model("waiter@20m", dtype=torch.bfloat16)
    assert (larger.bytes_a_weight, larger.zeros) == (2, Stored.BF16)
    assert quantized(larger).bytes_a_weight == Stored.INT8.value


def test_a_quantized_model_is_another_one_with_the_same_norms_and_tokenizer() -> None:
    # the rows of down_proj are no groups
    model = random_model(LlamaConfig(64, 32, 1, 2, 2, 16, 40, positions=128))
    other = quantized(model)
    assert other.quantized
    assert not model.quantized
    assert other.folder is None
    assert torch.equal(other.weights["model.norm.weight"], model.weights["model.norm.weight"])
    assert stored_as(other.weights["model.layers.0.mlp.down_proj.weight"]) is Stored.BF16
    assert (
        quantized(load_model("waiter")).tokenizer.encode("tea").ids
        == load_model("waiter").tokenizer.encode("tea").ids
    )
