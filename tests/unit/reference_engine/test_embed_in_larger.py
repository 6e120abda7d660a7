"""A stretched model says what the small one says, whatever lies in the weights that are not the
small model's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from reference_engine import oracle
from reference_engine.embed_in_larger import STRETCHES, stretch
from reference_engine.llama.config import LlamaConfig
from reference_engine.llama.weights import ModelError, save
from reference_engine.medusa.heads import load_heads, random_heads, save_heads, stretch_heads
from reference_engine.model import Model, random_model
from reference_engine.model_loader import load_model

torch.set_num_threads(1)
SMALL = LlamaConfig(
    vocab=60, width=24, layers=2, heads=4, kv_heads=2, head_width=8, inner=40, tied=True
)
LARGE = LlamaConfig(
    vocab=100, width=64, layers=4, heads=12, kv_heads=3, head_width=16, inner=96, tied=True
)
SHAPES = {
    "the same": SMALL,
    "wider": replace(SMALL, width=40),
    "wider heads": replace(SMALL, head_width=32),
    "heads three times as wide": replace(SMALL, head_width=24),
    "more heads in a group": replace(SMALL, heads=10),
    "more KV heads": replace(SMALL, heads=10, kv_heads=5),
    "deeper": replace(SMALL, layers=5),
    "wider inside": replace(SMALL, inner=64),
    "more words": replace(SMALL, vocab=90),
    "untied": replace(SMALL, tied=False, vocab=70, width=32),
    "everything": LARGE,
    "everything, untied": replace(LARGE, tied=False, rope_theta=500_000.0, norm_eps=1e-6),
}
PROMPT = [3, 59, 0, 17, 17, 8, 41, 2, 30]


@pytest.fixture(scope="module")
def small() -> Model:
    """Random weights, norms included, so that no dimension is like another."""
    model = random_model(SMALL, seed=5)
    torch.manual_seed(5)
    norms = {
        name: torch.rand_like(value) + 0.5
        for name, value in model.weights.items()
        if value.dim() == 1
    }
    return replace(model, weights={**model.weights, **norms})


@pytest.mark.parametrize("name", SHAPES)
def test_logits_and_hidden_states_are_the_small_models(small: Model, name: str) -> None:
    large = stretch(small, SHAPES[name], seed=1)
    assert {key: tuple(value.shape) for key, value in large.weights.items()} == SHAPES[
        name
    ].shapes()
    expected, got = oracle.hidden(small, PROMPT), oracle.hidden(large, PROMPT)
    torch.testing.assert_close(got[:, : SMALL.width], expected, rtol=1e-4, atol=1e-5)
    assert not got[:, SMALL.width :].any()
    expected, got = oracle.logits(small, PROMPT), oracle.logits(large, PROMPT)
    torch.testing.assert_close(got[:, : SMALL.vocab], expected, rtol=1e-4, atol=1e-4)


def test_added_words_never_win_even_where_every_real_logit_is_negative(small: Model) -> None:
    sunk = {
        **small.weights,
        "lm_head.weight": -oracle.hidden(small, PROMPT)[-1].repeat(SMALL.vocab, 1),
    }
    sunk["lm_head.weight"] *= torch.linspace(1, 2, SMALL.vocab)[:, None]
    model = replace(small, config=replace(SMALL, tied=False), weights=sunk)
    logits = oracle.logits(stretch(model, replace(LARGE, tied=False)), PROMPT)[-1]
    assert (logits < 0).all()
    assert int(logits.argmax()) == 0
    assert float(logits[SMALL.vocab :].max()) < float(logits[0])


def test_the_unused_weights_are_random_come_from_the_seed_and_do_not_matter(small: Model) -> None:
    one, same, other = (stretch(small, LARGE, seed=seed) for seed in (1, 1, 2))
    name = "model.layers.3.mlp.gate_proj.weight"
    assert one.weights[name].std() > 0
    assert torch.equal(one.weights[name], same.weights[name])
    assert not torch.equal(one.weights[name], other.weights[name])
    said = [oracle.greedy(model, PROMPT, 12) for model in (small, one, other)]
    assert said[0] == said[1] == said[2]


def test_medusa_heads_guess_the_same(small: Model) -> None:
    heads = random_heads(small, count=3, seed=9)
    large = stretch(small, LARGE)
    wide = stretch_heads(heads, large.config)
    expected = heads.guess((), oracle.hidden(small, PROMPT), 4)
    assert torch.equal(wide.guess((), oracle.hidden(large, PROMPT), 4), expected)
    assert wide.project.shape == (3, LARGE.vocab, LARGE.width)
    assert wide.residual.shape == (3, LARGE.width, LARGE.width)


def test_heads_loaded_for_a_stretched_model_are_stretched(small: Model, tmp_path: Path) -> None:
    heads = random_heads(small, count=2, seed=3)
    save_heads(heads, tmp_path)
    loaded = load_heads(tmp_path, stretch(small, LARGE))
    assert loaded.project.shape == (2, LARGE.vocab, LARGE.width)
    torch.testing.assert_close(loaded.project[:, :60, :24], heads.project, rtol=1e-2, atol=1e-2)


def test_a_model_may_be_stretched_by_its_name(small: Model, tmp_path: Path) -> None:
    save(tmp_path / "small", small.config, small.weights)
    assert load_model(f"{tmp_path / 'small'}@50m").config.width == STRETCHES["50m"].width
    with pytest.raises(ModelError, match="no shape called 'huge'"):
        load_model(f"{tmp_path / 'small'}@huge")
    with pytest.raises(ModelError, match="no model called 'nobody'"):
        load_model("nobody@50m")


def test_a_stretched_model_knows_what_it_was_made_of(small: Model) -> None:
    large = stretch(small, LARGE)
    assert large.original is small and large.folder is None and large.dtype == small.dtype
    assert large.name == f"{small.name}@custom"
    assert large.config.rope_theta == SMALL.rope_theta


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        (replace(LARGE, width=16), "width 16, less than the model's 24"),
        (replace(LARGE, vocab=59), "vocab 59"),
        (replace(LARGE, head_width=20), "no multiple of the model's 8"),
        (replace(LARGE, heads=3), "no room for the model's groups"),
        (replace(LARGE, qk_norm=True), "normed per head"),
        ("33b", "no shape called '33b'"),
    ],
)
def test_a_shape_that_does_not_fit_is_refused_in_words(
    small: Model, shape: str | LlamaConfig, words: str
) -> None:
    with pytest.raises(ModelError, match=words):
        stretch(small, shape)


def test_an_untied_model_does_not_fit_in_a_tied_shape(small: Model) -> None:
    model = random_model(replace(SMALL, tied=False))
    with pytest.raises(ModelError, match="ties its LM head"):
        stretch(model, LARGE)


def test_bf16_stays_bf16_and_close(small: Model) -> None:
    low = replace(small, weights={name: value.bfloat16() for name, value in small.weights.items()})
    large = stretch(low, LARGE)
    assert large.dtype == torch.bfloat16
    expected, got = oracle.logits(low, PROMPT), oracle.logits(large, PROMPT)[:, : SMALL.vocab]
    assert float((got - expected).norm() / expected.norm()) < 2e-2


def test_the_waiter_at_50m_says_what_the_waiter_says() -> None:
    waiter = load_model("waiter")
    large = load_model("waiter@50m")
    assert 45e6 < large.config.parameters < 60e6
    prompt = waiter.tokenizer.encode("Guest: How much is the soup?\nWaiter:").ids
    assert oracle.greedy(large, prompt, 8) == oracle.greedy(waiter, prompt, 8)


@pytest.mark.parametrize("name", STRETCHES)
def test_the_waiters_sizes_fit_in_every_named_shape(name: str) -> None:
    from reference_engine.embed_in_larger import stretched_config

    waiter = LlamaConfig(
        vocab=1024, width=256, layers=4, heads=8, kv_heads=4, head_width=32, inner=688, tied=True
    )
    assert stretched_config(waiter, STRETCHES[name]).width == STRETCHES[name].width
