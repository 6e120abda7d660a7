"""The corpus: the same everywhere, its splits apart, its pieces whole tokens."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from itertools import product

import pytest
from tokenizers import Tokenizer

from reference_engine.waiter import CHECKPOINT
from reference_engine.waiter.corpus import (
    GUESTS,
    TABLES,
    WAITERS,
    Dialogue,
    Facts,
    Split,
    dialogue,
    guests,
    introduction,
    menu_prompt,
    question,
    split_of,
)
from reference_engine.waiter.menu import POOLS, SECTIONS, Restaurant, restaurants
from reference_engine.waiter.tokenizer import (
    VOCAB_SIZE,
    encode_dialogue,
    load_tokenizer,
    train_tokenizer,
)

SAMPLE = range(60)
DIGEST = "42ba43f4fee1c9db765c37848c846ca3d100553a8bd1d0fbd190090b3c007e33"


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return load_tokenizer(CHECKPOINT)


def triples(told: Dialogue) -> set[tuple[str, int, str]]:
    return {(told.party.waiter, told.party.table, guest) for guest in told.party.guests}


def test_corpus_needs_no_torch() -> None:
    code = "import sys, reference_engine.waiter.corpus; sys.exit('torch' in sys.modules or 'tokenizers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_text_is_the_one_that_the_checkpoint_was_trained_on() -> None:
    text = "".join(menu_prompt(restaurant) for restaurant in restaurants())
    text += "".join(
        dialogue(seed, split).text for seed in range(50) for split in ("train", "heldout")
    )
    assert hashlib.sha256(text.encode()).hexdigest() == DIGEST


def test_same_seed_gives_the_same_dialogue_and_another_seed_another() -> None:
    assert dialogue(5) == dialogue(5)
    assert dialogue(5) != dialogue(6)
    assert dialogue(5, "train") != dialogue(5, "heldout")


def test_each_waiter_table_guest_triple_belongs_to_one_split() -> None:
    triple_splits = {triple: split_of(*triple) for triple in product(WAITERS, TABLES, GUESTS)}
    assert set(triple_splits.values()) == {"train", "heldout"}
    splits: tuple[Split, ...] = ("train", "heldout")
    for split in splits:
        for seed in SAMPLE:
            assert {triple_splits[triple] for triple in triples(dialogue(seed, split))} == {split}
        (guest,) = guests(restaurants()[0], 1, seed=0, split=split)
        assert {triple_splits[triple] for triple in triples(guest)} == {split}


def test_dish_has_another_price_and_time_at_every_restaurant() -> None:
    for name in (dish for pool in POOLS.values() for dish in pool):
        served = [
            dish for restaurant in restaurants() for dish in restaurant.dishes if dish.name == name
        ]
        assert len(served) > 1, f"{name} is served once: no mix-up would show"
        assert (
            len({dish.euros for dish in served})
            == len({dish.minutes for dish in served})
            == len(served)
        )


@pytest.mark.parametrize("restaurant", restaurants(), ids=lambda restaurant: restaurant.name)
def test_superlatives_have_one_answer(restaurant: Restaurant) -> None:
    for section in SECTIONS:
        dishes = restaurant.section(section)
        assert [dish.euros for dish in dishes].count(restaurant.cheapest(section).euros) == 1
        assert [dish.minutes for dish in dishes].count(restaurant.quickest(section).minutes) == 1
    elsewhere = [
        dish.name for other in restaurants() if other is not restaurant for dish in other.dishes
    ]
    assert restaurant.special.name not in elsewhere
    assert not set(restaurant.absent) & {dish.name for dish in restaurant.dishes}


def test_answers_state_the_facts_of_their_own_party() -> None:
    for seed in SAMPLE:
        told = dialogue(seed, "heldout")
        for turn in told.turns:
            facts = Facts.read(turn.answer)
            assert facts.guests == (turn.guest,)
            assert set(facts.waiters) <= {told.party.waiter}
            assert set(facts.tables) <= {told.party.table}
            assert set(facts.restaurants) <= {told.party.restaurant.name}


def test_facts_are_read_in_the_order_in_which_they_are_told() -> None:
    facts = Facts.read(
        "My name is Tom, Mira. The soup is 6 euros and takes 8 minutes at table 7 of Luna."
    )
    assert facts == Facts((6,), (8,), (7,), ("Mira",), ("Tom",), ("Luna",))


def test_prompt_is_the_text_up_to_the_answer() -> None:
    told = dialogue(9)
    for index, turn in enumerate(told.turns):
        assert told.text.startswith(told.prompt(index) + turn.answered)


def test_typed_question_reads_like_a_drawn_one() -> None:
    (told,) = guests(restaurants()[3], 1, seed=4)
    (turn,) = told.turns
    assert question(told.party, turn.guest, turn.question) == told.prompt(0)


def test_guests_of_a_workload_share_the_menu_and_ask_shortly(tokenizer: Tokenizer) -> None:
    restaurant = restaurants()[1]
    head = tokenizer.encode(menu_prompt(restaurant)).ids
    prompts = [tokenizer.encode(told.prompt(0)).ids for told in guests(restaurant, 64, seed=0)]
    assert all(prompt[: len(head)] == head for prompt in prompts)
    assert max(len(prompt) - len(head) for prompt in prompts) < 48
    assert len({tuple(prompt) for prompt in prompts}) > 60


@pytest.mark.parametrize("restaurant", restaurants(), ids=lambda restaurant: restaurant.name)
def test_menu_is_a_prefix_of_its_dialogues_in_tokens(
    restaurant: Restaurant, tokenizer: Tokenizer
) -> None:
    head = tokenizer.encode(menu_prompt(restaurant)).ids
    assert 400 <= len(head) <= 512
    told = dialogue(3, restaurant=restaurant)
    whole = tokenizer.encode(told.text).ids
    assert whole[: len(head)] == head
    introduced = tokenizer.encode(menu_prompt(restaurant) + introduction(told.party)).ids
    assert whole[: len(introduced)] == introduced


def test_tokens_of_the_pieces_are_the_tokens_of_the_text(tokenizer: Tokenizer) -> None:
    for seed in SAMPLE:
        told = dialogue(seed)
        ids, said = encode_dialogue(tokenizer, told)
        assert ids == tokenizer.encode(told.text).ids
        answers = [token for token, flag in zip(ids, said, strict=True) if flag]
        assert tokenizer.decode(answers) == "".join(f" {turn.answer}" for turn in told.turns)


def test_names_and_numbers_are_single_tokens(tokenizer: Tokenizer) -> None:
    numbers = {
        str(figure)
        for each in restaurants()
        for dish in each.dishes
        for figure in (dish.euros, dish.minutes)
    }
    for word in (*GUESTS, *WAITERS, *(each.name for each in restaurants()), *numbers):
        assert len(tokenizer.encode(f" {word}", add_special_tokens=False).ids) == 1, word


@pytest.mark.parametrize(
    "text", ["", "Grüße, 私 🍜\n\t", "\x00\x7f", "  two  spaces ", "How much is the tomato soup?"]
)
def test_any_text_survives_the_tokenizer(text: str, tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode(text).ids
    assert ids[0] == tokenizer.token_to_id("<|begin|>")
    assert all(token < VOCAB_SIZE for token in ids)
    assert tokenizer.decode(ids) == text


def test_tokenizer_of_the_checkpoint_is_the_one_that_the_corpus_gives(tokenizer: Tokenizer) -> None:
    assert train_tokenizer().to_str() == tokenizer.to_str()
