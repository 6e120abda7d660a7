"""Where transformers is installed, it loads the checkpoint as it is and says what the waiter's own
network says."""

from __future__ import annotations

from itertools import chain

import pytest
import torch

from reference_engine.training.storage import load_network
from reference_engine.waiter import CHECKPOINT
from reference_engine.waiter.corpus import END, guests
from reference_engine.waiter.menu import restaurants
from reference_engine.waiter.tokenizer import load_tokenizer, special_id

transformers = pytest.importorskip("transformers")


def test_transformers_gives_the_same_tokens_logits_and_answers() -> None:
    model = transformers.AutoModelForCausalLM.from_pretrained(
        CHECKPOINT, dtype=torch.float32
    ).eval()
    theirs = transformers.AutoTokenizer.from_pretrained(CHECKPOINT)
    network, tokenizer = load_network(CHECKPOINT), load_tokenizer(CHECKPOINT)
    end = special_id(tokenizer, END)
    for told in chain.from_iterable(guests(restaurant, 1, seed=11) for restaurant in restaurants()):
        prompt = tokenizer.encode(told.prompt(0)).ids
        assert theirs(told.prompt(0))["input_ids"] == prompt
        with torch.inference_mode():
            logits = model(torch.tensor([prompt])).logits
            torch.testing.assert_close(
                logits, network(torch.tensor([prompt])), rtol=1e-4, atol=1e-4
            )
            generated = model.generate(torch.tensor([prompt]), max_new_tokens=64, do_sample=False)
        assert generated[0, len(prompt) :].tolist() == network.greedy(prompt, 64, end)
