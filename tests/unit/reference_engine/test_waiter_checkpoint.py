"""The checkpoint: its layout, its size, its card, and what it tells guests it has never met."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from tokenizers import Tokenizer

from reference_engine.llama.config import LlamaConfig
from reference_engine.training.evaluate import answers, as_expected, converse, held_out, measure
from reference_engine.training.model_card import model_card
from reference_engine.training.network import TrainingKV, Waiter, initialise
from reference_engine.training.storage import load_network, rounded, save_checkpoint
from reference_engine.training.train import (
    TrainingRecipe,
    TrainingRun,
    TrainingStage,
    answers_right,
    draw,
)
from reference_engine.waiter import CHECKPOINT
from reference_engine.waiter.corpus import (
    END,
    Dialogue,
    dialogue,
    guests,
    introduction,
    menu_prompt,
    title,
)
from reference_engine.waiter.menu import restaurants
from reference_engine.waiter.tokenizer import load_tokenizer, special_id

LAYOUT = {
    "README.md",
    "config.json",
    "figures.json",
    "generation_config.json",
    "model.safetensors",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "training.json",
}
PROMISE = 0.99


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return load_tokenizer(CHECKPOINT)


@pytest.fixture(scope="module")
def network() -> Waiter:
    return load_network(CHECKPOINT)


@pytest.fixture(scope="module")
def small() -> Waiter:
    network = Waiter(
        LlamaConfig(
            vocab=64, width=32, layers=2, heads=4, kv_heads=2, head_width=8, inner=48, positions=40
        )
    )
    initialise(network, torch.Generator().manual_seed(0))
    return network.eval()


def read(name: str) -> dict[str, object]:
    content: dict[str, object] = json.loads((CHECKPOINT / name).read_text())
    return content


def test_checkpoint_has_the_files_of_a_hugging_face_model_and_fits_in_16_megabytes() -> None:
    files = list(CHECKPOINT.iterdir())
    assert {file.name for file in files} == LAYOUT
    assert sum(file.stat().st_size for file in files) <= 16 * 2**20


def test_weights_are_bf16_and_named_as_transformers_names_them() -> None:
    with safe_open(CHECKPOINT / "model.safetensors", "pt") as weights:
        names = set(weights.keys())
        assert {weights.get_slice(name).get_dtype() for name in names} == {"BF16"}
    assert {
        "model.embed_tokens.weight",
        "model.layers.0.self_attn.q_proj.weight",
        "model.norm.weight",
    } <= names
    assert "lm_head.weight" not in names, "the embeddings are tied"


def test_config_and_tokenizer_agree_on_ids(tokenizer: Tokenizer) -> None:
    config, generation = read("config.json"), read("generation_config.json")
    assert config["vocab_size"] == tokenizer.get_vocab_size() <= 1024
    assert config["eos_token_id"] == generation["eos_token_id"] == special_id(tokenizer, END)
    assert config["bos_token_id"] == tokenizer.encode("").ids[0]
    assert config["max_position_embeddings"] == read("tokenizer_config.json")["model_max_length"]


def test_model_card_is_the_one_that_the_measurements_give() -> None:
    assert (CHECKPOINT / "README.md").read_text() == model_card(CHECKPOINT)


def test_published_figures_keep_the_promise() -> None:
    figures = json.loads((CHECKPOINT / "figures.json").read_text())
    assert figures["dialogues"] >= 1000
    for fact, tally in figures["facts"].items():
        assert tally["right"] >= PROMISE * tally["asked"], fact


def test_guests_never_met_are_told_the_facts(network: Waiter, tokenizer: Tokenizer) -> None:
    figures = measure(network, tokenizer, dialogues=20)
    assert figures.word_for_word.asked > 150
    for fact, tally in figures.facts.items():
        assert tally.share >= 0.98, f"{fact}: {tally.right} of {tally.asked}"


def test_reading_a_dialogue_in_one_pass_judges_as_decoding_does(
    network: Waiter, tokenizer: Tokenizer
) -> None:
    told = next(held_out(tokenizer, 1, network.shape.positions))
    (expected,) = as_expected(network, tokenizer, [told])
    assert expected == all(answer.word_for_word for answer in converse(network, tokenizer, told))


def test_answer_that_is_not_the_expected_one_is_caught(
    network: Waiter, tokenizer: Tokenizer
) -> None:
    (told,) = guests(restaurants()[0], 1, seed=0)
    (turn,) = told.turns
    wrong = Dialogue(
        told.party,
        (type(turn)(turn.kind, turn.guest, turn.question, "The moon is made of cheese."),),
    )
    assert as_expected(network, tokenizer, [wrong]) == [False]
    assert [answer.word_for_word for answer in answers(network, tokenizer, [wrong])] == [False]


def test_answer_stops_at_its_end(network: Waiter, tokenizer: Tokenizer) -> None:
    (told,) = guests(restaurants()[2], 1, seed=1)
    end = special_id(tokenizer, END)
    output = network.greedy(tokenizer.encode(told.prompt(0)).ids, 64, end)
    assert output[-1] == end
    assert output.count(end) == 1


def test_network_with_a_cache_computes_what_it_computes_without(small: Waiter) -> None:
    ids = torch.randint(0, 64, (3, 30), generator=torch.Generator().manual_seed(1))
    whole, cache = small(ids), TrainingKV(small.shape.layers)
    parts = [small(ids[:, start:stop], cache) for start, stop in ((0, 11), (11, 12), (12, 30))]
    assert cache.length == 30
    torch.testing.assert_close(torch.cat(parts, dim=1), whole)
    cache.truncate(20)
    torch.testing.assert_close(small(ids[:, 20:], cache), whole[:, 20:])


def test_network_never_looks_ahead(small: Waiter) -> None:
    ids = torch.randint(0, 64, (1, 30), generator=torch.Generator().manual_seed(2))
    changed = ids.clone()
    changed[0, 20:] = (changed[0, 20:] + 1) % 64
    torch.testing.assert_close(small(ids)[:, :20], small(changed)[:, :20])


def test_checkpoint_survives_storage(small: Waiter, tokenizer: Tokenizer, tmp_path: Path) -> None:
    save_checkpoint(small, tokenizer, tmp_path)
    ids = torch.arange(20).unsqueeze(0)
    torch.testing.assert_close(load_network(tmp_path)(ids), rounded(small)(ids))
    assert not list(tmp_path.glob("*.partial"))


def test_training_data_is_drawn_by_step_alone_and_fills_every_position(
    tokenizer: Tokenizer,
) -> None:
    recipe = TrainingRecipe(stages=(TrainingStage(9, rows=2, positions=1024, menu=True),))
    first, again, later = (draw(recipe, step, tokenizer) for step in (3, 3, 4))
    assert torch.equal(first.ids, again.ids)
    assert not torch.equal(first.ids, later.ids)
    assert first.ids.shape == (2, 1025)
    assert bool(first.said[:, -64:].any(dim=1).all())
    shortest = min(
        len(tokenizer.encode(menu_prompt(restaurant)).ids) for restaurant in restaurants()
    )
    assert not bool(first.said[:, :shortest].any())


def test_short_dialogues_keep_the_title_and_the_table_and_leave_the_listing(
    tokenizer: Tokenizer,
) -> None:
    recipe = TrainingRecipe(stages=(TrainingStage(1, rows=1, positions=64, menu=False),))
    told = dialogue(recipe.first_seed)
    opening = tokenizer.encode(title(told.party.restaurant) + introduction(told.party)).ids
    assert draw(recipe, 0, tokenizer).ids[0, : len(opening)].tolist() == opening


def test_training_ends_with_whole_dialogues_at_every_position(network: Waiter) -> None:
    last = TrainingRecipe().stages[-1]
    assert last.menu
    assert last.positions == network.shape.positions


def test_answer_counts_as_right_only_when_every_token_is() -> None:
    said = torch.tensor([[0, 1, 1, 0, 1, 1], [1, 1, 0, 0, 0, 1]], dtype=torch.bool)
    right = torch.tensor([[0, 1, 1, 0, 1, 0], [1, 1, 0, 1, 0, 1]], dtype=torch.bool)
    assert answers_right(right, said) == 3 / 4


def test_learning_rate_rises_stays_and_falls_to_nothing() -> None:
    recipe = TrainingRecipe(
        stages=(TrainingStage(70, 1, 8, False), TrainingStage(30, 1, 8, True)),
        warmup=10,
        decay=0.4,
        learning_rate=1.0,
    )
    rates = [recipe.rate(step) for step in range(101)]
    assert rates[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert set(rates[10:60]) == {1.0}
    assert rates[60:] == sorted(rates[60:], reverse=True)
    assert rates[100] == 0


@pytest.mark.slow
def test_run_cut_off_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    recipe = TrainingRecipe(stages=(TrainingStage(40, rows=1, positions=64, menu=False),), warmup=1)
    straight = TrainingRun(recipe, tmp_path)
    straight.advance()
    straight.snapshot()
    resumed = TrainingRun(recipe, tmp_path)
    for run in (straight, resumed):
        run.advance()
    assert resumed.step == straight.step == 2
    assert resumed.tokens == straight.tokens == 128
    for ours, theirs in zip(
        resumed.network.parameters(), straight.network.parameters(), strict=True
    ):
        torch.testing.assert_close(ours, theirs)
    with pytest.raises(SystemExit, match="another recipe"):
        TrainingRun(replace(recipe, warmup=2), tmp_path)
