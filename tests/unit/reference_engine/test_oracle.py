"""The oracle and the rule for near-ties, against arithmetic that shares no code with it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from reference_engine import oracle
from reference_engine.llama.config import LlamaConfig
from reference_engine.model import Model, random_model
from reference_engine.model_loader import load_model
from reference_engine.training.network import Waiter

PROMPT = [3, 1, 4, 1, 5, 9, 2, 6]


def test_the_oracle_computes_what_the_training_network_computes() -> None:
    config = LlamaConfig(64, 32, 2, 4, 2, 8, 48, positions=64, tied=True)
    network = Waiter(config)
    names = random_model(config).weights
    state = {name: weight * 8 for name, weight in network.state_dict().items()}
    network.load_state_dict(state)
    model = Model("network", config, {name: state[name] for name in names})
    with torch.inference_mode():
        expected = network(torch.tensor([PROMPT]))[0]
    torch.testing.assert_close(oracle.logits(model, PROMPT), expected, rtol=1e-4, atol=1e-4)


def test_greedy_stops_after_eos_and_after_max_new() -> None:
    model = load_model("random:tiny")
    text = oracle.greedy(model, PROMPT, 12)
    assert len(text) == 12
    eos = text[5]
    assert oracle.greedy(model, PROMPT, 12, eos) == text[: text.index(eos) + 1]


def test_replay_finds_the_first_wrong_token() -> None:
    model = load_model("random:tiny")
    text = oracle.greedy(model, PROMPT, 10)
    assert oracle.replay(model, PROMPT, text) is None
    for place in (0, 4, 9):
        wrong = [*text[:place], (text[place] + 1) % 128, *text[place + 1 :]]
        assert oracle.replay(model, PROMPT, wrong) == place


def test_replay_of_nothing_is_right_and_of_foreign_tokens_wrong() -> None:
    model = load_model("random:tiny")
    text = oracle.greedy(model, PROMPT, 3)
    assert oracle.replay(model, PROMPT, []) is None
    assert oracle.replay(model, PROMPT, [*text, -1]) == 3
    assert oracle.replay(model, PROMPT, [128]) == 0


def test_tokens_within_the_tolerance_are_both_right() -> None:
    model = load_model("random:tiny")
    best = oracle.greedy(model, PROMPT, 1)[0]
    head = model.head.clone()
    head[(best + 1) % 128] = head[best] * (1 - 1e-6)
    tied = replace(model, weights={**model.weights, "lm_head.weight": head})
    assert oracle.replay(tied, PROMPT, [best]) is None
    assert oracle.replay(tied, PROMPT, [(best + 1) % 128]) is None
    assert oracle.replay(tied, PROMPT, [(best + 1) % 128], tolerance=0.0) == 0


def test_an_empty_prompt_has_no_next_token() -> None:
    with pytest.raises(ValueError, match="at least one token"):
        oracle.logits(load_model("random:tiny"), [])
