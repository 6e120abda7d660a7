"""Heads and their folder: what they compute, what comes back, what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from reference_engine.llama.config import LlamaConfig
from reference_engine.medusa.heads import (
    CONFIG,
    WEIGHTS,
    Heads,
    load_heads,
    random_heads,
    save_heads,
)
from reference_engine.model import ModelError, random_model
from reference_engine.model_loader import load_model
from reference_engine.native.heads import NativeHeads
from reference_engine.native.library import library, reason
from reference_engine.training import evaluate_heads

MODEL = load_model("random:tiny")


@pytest.fixture
def heads() -> Heads:
    return random_heads(MODEL, 3, seed=1)


def test_a_head_is_a_residual_block_and_a_projection(heads: Heads) -> None:
    hidden = torch.randn(5, MODEL.config.width, generator=torch.Generator().manual_seed(5))
    logits = heads.logits(hidden)
    for head in range(3):
        state = hidden + F.silu(hidden @ heads.residual[head].T)
        torch.testing.assert_close(
            logits[:, head], state @ heads.project[head].T, rtol=1e-4, atol=1e-4
        )


def test_guesses_are_the_likeliest_tokens_best_first(heads: Heads) -> None:
    hidden = torch.randn(2, MODEL.config.width, generator=torch.Generator().manual_seed(2))
    logits, guesses = heads.logits(hidden), heads.guess((), hidden, 4)
    assert guesses.shape == (2, 3, 4)
    scores = logits.gather(2, guesses)
    assert (scores[..., :-1] >= scores[..., 1:]).all()
    assert torch.equal(scores[..., 0], logits.amax(-1))
    assert torch.equal(heads.guess((), hidden, 1)[..., 0], logits.argmax(-1))


def test_stored_heads_come_back_rounded(heads: Heads, tmp_path: Path) -> None:
    save_heads(heads, tmp_path)
    loaded = load_heads(tmp_path, MODEL)
    assert torch.equal(loaded.residual, heads.residual.bfloat16().float())
    assert torch.equal(loaded.project, heads.project.bfloat16().float())


@pytest.mark.parametrize("field", ["residual", "project"])
def test_heads_that_are_no_numbers_are_named(heads: Heads, tmp_path: Path, field: str) -> None:
    getattr(heads, field)[1, 2, 3] = torch.nan
    save_heads(heads, tmp_path)
    with pytest.raises(ModelError, match=r"^a Medusa head in .* holds NaN or infinity in float32"):
        load_heads(tmp_path, MODEL)


def test_missing_and_corrupt_heads_are_named(heads: Heads, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="missing"):
        load_heads(tmp_path, MODEL)
    save_heads(heads, tmp_path)
    whole = (tmp_path / WEIGHTS).read_bytes()
    (tmp_path / WEIGHTS).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match="cannot be read"):
        load_heads(tmp_path, MODEL)
    (tmp_path / WEIGHTS).write_bytes(whole)
    (tmp_path / CONFIG).write_text('{"num_heads": 9}')
    with pytest.raises(ModelError, match="cannot be read"):
        load_heads(tmp_path, MODEL)


def test_heads_of_another_model_are_refused(heads: Heads, tmp_path: Path) -> None:
    save_heads(Heads(heads.residual, heads.project[:, :-1]), tmp_path)
    with pytest.raises(ModelError, match="not of a model"):
        load_heads(tmp_path, MODEL)


@pytest.mark.parametrize("rows", [1, 2, 3, 70])
def test_a_shallow_tree_asks_its_first_heads_only_and_they_guess_the_same(rows: int) -> None:
    heads = random_heads(load_model("random:tiny"), 4, seed=3)
    hidden = torch.randn(rows, 32, generator=torch.Generator().manual_seed(rows))
    wide = F.silu(torch.einsum("hij,rj->rhi", heads.residual, hidden)) + hidden[:, None]
    expected = torch.einsum("hvi,rhi->rhv", heads.project, wide)
    torch.testing.assert_close(heads.logits(hidden), expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(heads.first(2).logits(hidden), expected[:, :2], rtol=1e-4, atol=1e-4)
    assert heads.first(4) is heads


@pytest.mark.parametrize("rows", [1, 2, 5, 30])
@pytest.mark.parametrize(
    "shape", ["tiny", LlamaConfig(50, 24, 1, 2, 2, 12, 40, positions=16)], ids=["tiny", "uneven"]
)
def test_compiled_heads_guess_what_the_plain_formula_guesses(
    shape: str | LlamaConfig, rows: int
) -> None:
    compiled = library()
    if compiled is None:
        pytest.skip(reason())
    model = load_model("random:tiny") if isinstance(shape, str) else random_model(shape)
    heads = random_heads(model, 3, seed=rows)
    hidden = torch.randn(rows, model.config.width, generator=torch.Generator().manual_seed(rows))
    states = F.silu(torch.einsum("hij,rj->rhi", heads.residual, hidden)) + hidden[:, None]
    logits = torch.einsum("hvi,rhi->rhv", heads.project, states)
    guesses = NativeHeads(compiled, heads.residual, heads.project).guess(hidden, 7)
    assert all(len(set(best)) == 7 for row in guesses.tolist() for best in row)
    torch.testing.assert_close(
        logits.gather(2, guesses), logits.topk(7).values, rtol=1e-5, atol=1e-6
    )  # near-ties
    assert torch.equal(heads.guess([], hidden, 2), guesses[:, :, :2])


def test_equal_logits_are_guessed_in_order_of_their_ids() -> None:
    compiled = library()
    if compiled is None:
        pytest.skip(reason())
    heads = NativeHeads(compiled, torch.zeros(1, 16, 16), torch.zeros(1, 40, 16))
    assert heads.guess(torch.ones(1, 16), 5).tolist() == [[[0, 1, 2, 3, 4]]]
    with pytest.raises(ValueError, match="41 guesses of a vocabulary of 40"):
        heads.guess(torch.ones(1, 16), 41)


def test_what_takes_minutes_tells_how_far_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(evaluate_heads.counted(range(7, 50), "to measure on")) == list(range(7, 50))
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.splitlines() == [
        f"{number} of 43 dialogues to measure on" for number in (20, 40, 43)
    ]
