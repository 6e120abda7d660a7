"""Samples of one prompt: computed once, shared by copy-on-write, and each the text of a request
alone."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import torch

from reference_engine.engine import Engine, Event
from reference_engine.model_loader import load_model
from reference_engine.naive import parts as naive
from reference_engine.parts import PartError, Parts
from reference_engine.sampler import GREEDY, Sampling
from reference_engine.slots import Copy
from solutions.ex1_paged_allocation.block_manager import BlockManager
from solutions.ex2_batching_scheduler.scheduler import Scheduler
from solutions.ex3_prefix_cache.prefix_cache import PrefixCache

MODEL = load_model("random:tiny")
PAGED = Parts(BlockManager, Scheduler)
MIXES = {"naive": naive(), "paged": PAGED, "cached": Parts(BlockManager, Scheduler, PrefixCache)}
WARM = Sampling(temperature=1.2, seed=40)
PROMPT = [7 * place % 128 for place in range(22)]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def alone(
    prompt: Sequence[int], max_new: int, rule: Sampling, n: int, eos: int | None = None
) -> list[list[int]]:
    """What n requests say, each in an engine of its own."""
    seeds = [None if rule.seed is None else rule.seed + sample for sample in range(n)]
    return [
        list(
            Engine(MODEL, PAGED, num_blocks=80, block_size=4).stream(
                prompt, max_new, Sampling(rule.temperature, rule.top_k, rule.top_p, seed), eos=eos
            )
        )
        for seed in seeds
    ]


def run(engine: Engine, ids: Sequence[int]) -> list[list[int]]:
    """What these requests say, in order."""
    said: dict[int, list[int]] = {id: [] for id in ids}
    while not engine.idle:
        for event in engine.step():
            said[event.id] += event.tokens
    return list(said.values())


def assert_given_back(engine: Engine) -> None:
    load = engine.load()
    assert (load.running, load.waiting, load.kv_usage) == (0, 0, 0)


def samples(
    engine: Engine, n: int = 4, max_new: int = 9, rule: Sampling = WARM, **more: Any
) -> list[list[int]]:
    first = engine.add(PROMPT, max_new, rule, n=n, **more)
    return run(engine, range(first, first + n))


@pytest.mark.parametrize("mix", MIXES)
@pytest.mark.parametrize("length", [1, 2, 4, 5, 21, 22])
def test_samples_are_the_texts_of_requests_alone(mix: str, length: int) -> None:
    engine = Engine(MODEL, MIXES[mix], num_blocks=120, block_size=4, max_seqs=8)
    first = engine.add(PROMPT[:length], 9, WARM, n=4)
    texts = run(engine, range(first, first + 4))
    assert texts == alone(PROMPT[:length], 9, WARM, 4)
    assert len({*map(tuple, texts)}) > 1
    assert_given_back(engine)


@pytest.mark.parametrize("mix", ["paged", "cached"])
def test_the_prompt_is_computed_once(mix: str) -> None:
    engine = Engine(MODEL, MIXES[mix], num_blocks=120, block_size=4, max_seqs=8)
    samples(engine, max_new=9)
    assert engine.metrics.computed == len(PROMPT) + 3 + 4 * 8
    assert engine.metrics.cached == 3 * (len(PROMPT) - 1)


def test_even_when_the_first_has_finished_with_its_first_token() -> None:
    engine = Engine(MODEL, PAGED, num_blocks=120, block_size=4, max_seqs=8)
    assert samples(engine, max_new=1) == alone(PROMPT, 1, WARM, 4)
    assert engine.metrics.computed == len(PROMPT) + 3


@pytest.mark.parametrize("length", range(17, 23))
def test_each_diverging_writer_but_the_last_copies_once(length: int) -> None:
    engine = Engine(MODEL, PAGED, num_blocks=120, block_size=4, max_seqs=8, keep_trace=True)
    first = engine.add(PROMPT[:length], 9, WARM, n=4)
    run(engine, range(first, first + 4))
    copies: list[Copy] = [copy for step in engine.trace for copy in step.copies]
    shared_tail = (length - 1) % 4 > 0
    assert len(copies) == 3 * shared_tail
    assert len({copy.src for copy in copies}) <= 1
    assert len({copy.dst for copy in copies}) == len(copies)


def test_blocks_held_are_those_of_one_prompt_and_of_each_tail() -> None:
    engine = Engine(MODEL, PAGED, num_blocks=120, block_size=4, max_seqs=8, keep_trace=True)
    samples(engine, max_new=9)
    full, whole = (len(PROMPT) - 1) // 4, -(-(len(PROMPT) + 9 - 1) // 4)
    assert engine.metrics.peak_blocks <= full + 4 * (whole - full)
    tables = {seat.id: seat.table for step in engine.trace for seat in step.seats}
    assert len({table[:full] for table in tables.values()}) == 1


@pytest.mark.parametrize("mix", MIXES)
@pytest.mark.parametrize("seed", range(12))
def test_samples_among_others_in_any_pool_say_the_same(mix: str, seed: int) -> None:
    dice = random.Random(seed)
    size = dice.choice([1, 2, 3, 4, 8, 16])
    engine = Engine(
        MODEL,
        MIXES[mix],
        num_blocks=-(-dice.randint(40, 90) // size) + 3,
        block_size=size,
        watermark=dice.choice([0, 1]),
        max_seqs=dice.randint(1, 7),
        token_budget=dice.randint(1, 60),
        chunk=dice.choice([None, 1, 3, 8]),
        policy=dice.choice(["fcfs", "priority"]),
    )
    asked, due, early = list[int](), list[list[int]](), list[Event]()
    for _ in range(4):
        prompt = (
            PROMPT[: dice.randint(1, 20)] if dice.random() < 0.7 else dice.choices(range(128), k=9)
        )
        rule = Sampling(temperature=1.2, seed=dice.randrange(99)) if dice.random() < 0.8 else GREEDY
        n, max_new, priority = dice.randint(1, 5), dice.randint(1, 12), dice.randint(0, 2)
        first = engine.add(prompt, max_new, rule, priority=priority, n=n)
        asked += list(range(first, first + n))
        due += alone(prompt, max_new, rule, n)
        early += [event for _ in range(dice.randint(0, 3)) for event in engine.step()]
    said = run(engine, asked)
    for event in reversed(early):
        said[asked.index(event.id)][:0] = event.tokens
    assert said == due
    assert_given_back(engine)


@pytest.mark.parametrize("when", range(6))
@pytest.mark.parametrize("whose", range(4))
def test_who_is_aborted_leaves_the_others_their_prompt(when: int, whose: int) -> None:
    engine = Engine(MODEL, MIXES["cached"], num_blocks=60, block_size=4, max_seqs=2, token_budget=9)
    first = engine.add(PROMPT, 9, WARM, n=4)
    said: dict[int, list[int]] = {id: [] for id in range(first, first + 4)}
    for _ in range(when):
        for event in engine.step():
            said[event.id] += event.tokens
    engine.abort(first + whose)
    while not engine.idle:
        for event in engine.step():
            said[event.id] += event.tokens
    due = alone(PROMPT, 9, WARM, 4)
    assert [said[first + place] for place in range(4) if place != whose] == [
        due[place] for place in range(4) if place != whose
    ]
    assert_given_back(engine)


def test_a_manager_that_does_not_copy_is_named() -> None:
    class NoCopy(BlockManager):
        def fork(self, parent: int, child: int) -> None:
            super().fork(parent, child)
            self.length(child)

        def extend(self, seq: int, num_tokens: int) -> Any:
            new, copies = super().extend(seq, num_tokens)
            return new, [Copy(copy.dst, copy.src) for copy in copies]

    engine = Engine(MODEL, Parts(NoCopy, Scheduler), num_blocks=60, block_size=4)
    assert samples(engine) != alone(PROMPT, 9, WARM, 4)

    class Shares(BlockManager):
        def extend(self, seq: int, num_tokens: int) -> Any:
            tail = self.table(seq)[-1]
            new, copies = super().extend(seq, num_tokens)
            if copies:
                self.table(seq)[len(self.table(seq)) - len(new)] = tail  # type: ignore[index]
            return new, copies

    with pytest.raises(PartError, match="is about to write block"):
        samples(Engine(MODEL, Parts(Shares, Scheduler), num_blocks=60, block_size=4))

    class Forgets(BlockManager):
        def truncate(self, seq: int, num_tokens: int) -> list[int]:
            return []

    with pytest.raises(PartError, match=r"give the table|about to write"):
        samples(Engine(MODEL, Parts(Forgets, Scheduler), num_blocks=60, block_size=4))


def test_no_sample_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="one sample"):
        Engine(MODEL, PAGED, num_blocks=60, block_size=4).add(PROMPT, 3, n=0)
