"""The engine says what the oracle says, whatever its parts, its pool and its neighbours are."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
import torch

from reference_engine import oracle
from reference_engine.engine import Engine
from reference_engine.model_loader import load_model
from reference_engine.naive import parts as naive
from reference_engine.parts import Parts
from reference_engine.sampler import Sampling
from reference_engine.slots import Request
from solutions.ex1_paged_allocation.block_manager import BlockManager
from solutions.ex2_batching_scheduler.scheduler import Scheduler
from solutions.ex3_prefix_cache.prefix_cache import PrefixCache

MODEL = load_model("random:tiny")
PAGED = Parts(BlockManager, Scheduler)
CACHED = Parts(BlockManager, Scheduler, PrefixCache)
MIXES = {
    "naive": naive(),
    "paged": PAGED,
    "cached": CACHED,
    "paged but static": Parts(BlockManager, naive().scheduler),
}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def requests(
    dice: random.Random, count: int, longest: int = 40, *, shared: int = 0
) -> list[Request]:
    """Random prompts that open alike for `shared` tokens."""
    opening = [dice.randrange(128) for _ in range(shared)]
    return [
        Request(
            id,
            opening + [dice.randrange(128) for _ in range(dice.randint(1, longest))],
            dice.randint(1, 16),
        )
        for id in range(count)
    ]


def assert_greedy(asked: list[Request], outputs: list[list[int]]) -> None:
    for request, output in zip(asked, outputs, strict=True):
        assert len(output) == request.max_new or output[-1] == request.eos
        assert oracle.replay(MODEL, request.prompt, output) is None


def assert_given_back(engine: Engine) -> None:
    """Nothing is held but by the cache, and nothing that the cache holds is locked."""
    assert engine.idle
    assert engine.kv.running == 0


# ---------------------------------------------------------------- tokens


@pytest.mark.parametrize("mix", MIXES)
@pytest.mark.parametrize("seed", range(12))
def test_any_parts_and_sizes_say_what_the_oracle_says(mix: str, seed: int) -> None:
    dice = random.Random(seed)
    asked = requests(dice, 7, shared=dice.choice([0, 0, 9, 16]))
    size = dice.choice([1, 1, 2, 3, 4, 8, 16, 32])
    lookups = max(len(request.prompt) + request.max_new for request in asked)
    engine = Engine(
        MODEL,
        MIXES[mix],
        num_blocks=-(-dice.randint(lookups, 3 * lookups) // size) + 3,
        block_size=size,
        watermark=dice.choice([0, 1]),
        max_seqs=dice.randint(1, 7),
        token_budget=dice.randint(1, 60),
        chunk=dice.choice([None, 1, 3, 8]),
        policy=dice.choice(["fcfs", "priority"]),
    )
    assert_greedy(asked, engine.generate(asked))
    assert_given_back(engine)


def test_a_pool_that_is_too_small_preempts_and_says_the_same() -> None:
    asked = requests(random.Random(5), 8)
    engine = Engine(MODEL, CACHED, num_blocks=20, block_size=4, max_seqs=8)
    assert_greedy(asked, engine.generate(asked))
    assert engine.metrics.preemptions > 0
    assert engine.metrics.recomputed > 0


def test_eos_ends_a_request_and_is_kept() -> None:
    asked = requests(random.Random(6), 5)
    for request in asked:
        text = oracle.greedy(MODEL, request.prompt, request.max_new)
        request.eos = text[len(text) // 2]
    outputs = Engine(MODEL, PAGED, num_blocks=64, block_size=4).generate(asked)
    for request, output in zip(asked, outputs, strict=True):
        assert output == oracle.greedy(MODEL, request.prompt, request.max_new, request.eos)


def test_guests_who_arrive_late_join_and_change_nothing() -> None:
    dice = random.Random(7)
    asked = requests(dice, 9)
    engine = Engine(MODEL, PAGED, num_blocks=64, block_size=4, max_seqs=4, token_budget=24)
    outputs: dict[int, list[int]] = {}
    waiting = list(asked)
    while waiting or not engine.idle:
        if waiting and dice.random() < 0.4:
            request = waiting.pop(0)
            outputs[engine.add(request.prompt, request.max_new)] = []
        for event in engine.step():
            outputs[event.id] += event.tokens
    assert_greedy(asked, list(outputs.values()))


def test_a_shared_menu_is_computed_once() -> None:
    dice = random.Random(8)
    asked = requests(dice, 6, 4, shared=32)
    engine = Engine(MODEL, CACHED, num_blocks=64, block_size=4, token_budget=40)
    assert_greedy(asked, engine.generate(asked))
    assert engine.metrics.cached >= 4 * 32
    assert engine.metrics.computed + engine.metrics.cached == sum(
        len(r.prompt) + r.max_new - 1 for r in asked
    )


def test_an_engine_serves_round_after_round() -> None:
    engine = Engine(MODEL, CACHED, num_blocks=30, block_size=4, max_seqs=3)
    for seed in range(4):
        asked = requests(random.Random(seed), 5)
        assert_greedy(asked, engine.generate(asked))
        assert_given_back(engine)


def test_paging_holds_several_times_the_guests_of_contiguous_reservation() -> None:
    asked = requests(random.Random(9), 40, 20)
    held = {}
    for name in ("naive", "paged"):
        parts = Parts(MIXES[name].block_manager, Scheduler)
        engine = Engine(MODEL, parts, num_blocks=4 * 64 + 1, block_size=16, max_seqs=64)
        assert_greedy(asked, engine.generate(asked))
        held[name] = engine.metrics.peak_running
    assert held["paged"] >= 4 * held["naive"]


def test_no_stale_slot_is_ever_read() -> None:
    engine = Engine(MODEL, PAGED, num_blocks=40, block_size=8)
    engine.runner.pool.fill(range(40 * 8), float("nan"))  # type: ignore[attr-defined]
    asked = requests(random.Random(10), 6)
    assert_greedy(asked, engine.generate(asked))


# ---------------------------------------------------------------- sampling


def test_sampled_text_depends_on_the_request_alone() -> None:
    asked = requests(random.Random(11), 6)
    rule = Sampling(temperature=1.2, top_k=40, top_p=0.95)
    wide = Engine(MODEL, CACHED, num_blocks=120, block_size=4, seed=3).generate(asked, rule)
    narrow = Engine(
        MODEL, PAGED, num_blocks=60, block_size=1, max_seqs=2, token_budget=5, seed=3
    ).generate(asked, rule)
    other = Engine(MODEL, PAGED, num_blocks=120, block_size=4, seed=4).generate(asked, rule)
    assert wide == narrow
    assert wide != other


def test_a_seed_of_its_own_makes_a_request_repeatable() -> None:
    engine = Engine(MODEL, PAGED, num_blocks=60, block_size=4)
    rule = Sampling(temperature=1.5, seed=9)
    ids = [engine.add([1, 2, 3], 8, rule) for _ in range(2)] + [
        engine.add([1, 2, 3], 8, Sampling(temperature=1.5))
    ]
    said: dict[int, list[int]] = {id: [] for id in ids}
    while not engine.idle:
        for event in engine.step():
            said[event.id] += event.tokens
    assert said[ids[0]] == said[ids[1]] != said[ids[2]]


def test_greedy_and_sampled_requests_share_a_batch() -> None:
    engine = Engine(MODEL, PAGED, num_blocks=60, block_size=4)
    prompt = [4, 8, 15, 16]
    greedy = engine.stream(prompt, 10)
    sampled = engine.stream(prompt, 10, Sampling(temperature=2.0))
    assert list(greedy) == oracle.greedy(MODEL, prompt, 10)
    assert len(list(sampled)) == 10


# ---------------------------------------------------------------- life of a request


def test_a_stream_gives_tokens_one_by_one_beside_others() -> None:
    engine = Engine(MODEL, PAGED, num_blocks=60, block_size=4)
    first, second = engine.stream([1, 2, 3], 5), engine.stream([4, 5], 7)
    told = [[next(first), next(first)], [next(second)]]
    told[1] += second
    told[0] += first
    assert told == [oracle.greedy(MODEL, [1, 2, 3], 5), oracle.greedy(MODEL, [4, 5], 7)]


def test_a_closed_stream_is_aborted() -> None:
    engine = Engine(MODEL, PAGED, num_blocks=60, block_size=4)
    stream = engine.stream([1, 2, 3], 50)
    next(stream)
    stream.close()
    assert_given_back(engine)
    assert engine.metrics.aborted == 1


def test_aborts_in_every_state_leave_the_others_alone() -> None:
    dice = random.Random(12)
    asked = requests(dice, 10)
    engine = Engine(
        MODEL, CACHED, num_blocks=30, block_size=4, max_seqs=3, token_budget=16, keep_trace=True
    )
    ids = [engine.add(request.prompt, request.max_new) for request in asked]
    outputs: dict[int, list[int]] = {id: [] for id in ids}
    doomed = set(ids[::2])
    while not engine.idle:
        for id in [id for id in doomed if dice.random() < 0.15]:
            doomed.remove(id)
            if id in outputs:
                engine.abort(id)
                del outputs[id]
        for event in engine.step():
            outputs[event.id] += event.tokens
            if event.finished:
                doomed.discard(event.id)
    kept = [id for id in ids if id in outputs]
    assert_greedy([asked[id] for id in kept], [outputs[id] for id in kept])
    assert_given_back(engine)
    assert engine.metrics.aborted == len(ids) - len(kept) > 0


def test_aborting_a_stranger_is_a_key_error() -> None:
    engine = Engine(MODEL, PAGED, num_blocks=60)
    with pytest.raises(KeyError, match="request 3 is unknown"):
        engine.abort(3)


@pytest.mark.parametrize(
    ("prompt", "max_new", "sentence"),
    [
        ([], 5, "the prompt is empty"),
        ([1], 0, "max_new is 0"),
        ([1, 128], 5, "token 128 is not in the vocabulary of 128"),
        ([-1], 5, "token -1 is not in the vocabulary"),
        ([1] * 60, 5, "a prompt of 60 tokens and 5 new ones exceed the 64 tokens that the KV pool"),
        ([1] * 2040, 9, "exceed the model's context of 2048"),
    ],
)
def test_a_request_that_can_never_be_served_is_refused(
    prompt: list[int], max_new: int, sentence: str
) -> None:
    engine = Engine(MODEL, PAGED, num_blocks=5, block_size=16)
    with pytest.raises(ValueError, match=sentence):
        engine.add(prompt, max_new)
    assert engine.idle


@pytest.mark.parametrize(
    "sizes",
    [
        {"num_blocks": 1},
        {"num_blocks": 5, "block_size": 0},
        {"num_blocks": 5, "watermark": 4},
        {"num_blocks": 5, "max_seqs": 0},
        {"num_blocks": 5, "chunk": 0},
        {"num_blocks": 5, "token_budget": 0},
    ],
)
def test_sizes_that_cannot_work_are_refused(sizes: dict[str, int]) -> None:
    with pytest.raises(ValueError):
        Engine(MODEL, PAGED, **sizes)


# ---------------------------------------------------------------- records


def test_the_trace_tells_every_token_once() -> None:
    asked = requests(random.Random(13), 6)
    engine = Engine(MODEL, CACHED, num_blocks=24, block_size=4, token_budget=20, keep_trace=True)
    outputs = engine.generate(asked)
    told: dict[int, list[int]] = {request.id: [] for request in asked}
    for number, record in enumerate(engine.trace):
        assert record.number == number
        assert [seat.id for seat in record.seats] == [chunk.id for chunk in record.plan.chunks]
        for id, tokens in record.emitted:
            told[id] += tokens
        for seat in record.seats:
            assert len(seat.table) * 4 >= seat.computed
    assert list(told.values()) == outputs
    assert sorted(id for record in engine.trace for id in record.finished) == list(told)


def test_the_trace_tells_what_the_cache_holds_and_what_was_asked() -> None:
    asked = requests(random.Random(13), 6)
    engine = Engine(MODEL, CACHED, num_blocks=24, block_size=4, token_budget=20, keep_trace=True)
    engine.generate(asked)
    held, evicted = set[int](), 0
    for change in (change for record in engine.trace for change in record.changes):
        if change.id is None:
            assert held >= set(change.blocks)
            held -= set(change.blocks)
            evicted += len(change.blocks)
        else:
            assert not held & set(change.blocks)
            held |= set(change.blocks)
    assert len(held) == engine.kv.evictable > 0
    assert evicted
    prompts = {id: tokens for record in engine.trace for id, tokens in record.prompts}
    assert prompts == {request.id: tuple(request.prompt) for request in asked}


def test_the_counters_add_up() -> None:
    asked = requests(random.Random(14), 8)
    engine = Engine(MODEL, CACHED, num_blocks=20, block_size=4, token_budget=20, keep_trace=True)
    outputs = engine.generate(asked)
    metrics, trace = engine.metrics, engine.trace
    assert metrics.steps == len(trace)
    assert metrics.emitted == sum(map(len, outputs))
    assert metrics.computed == sum(chunk.length for record in trace for chunk in record.plan.chunks)
    assert metrics.cached == sum(length for record in trace for _, length in record.cached)
    assert metrics.preemptions == sum(len(record.preempted) for record in trace)
    assert metrics.finished == 8
    assert metrics.peak_blocks <= 19
    assert 0 < metrics.utilisation <= 1.5


def test_runs_are_repeatable_step_by_step() -> None:
    asked = requests(random.Random(15), 6)
    traces = []
    for _ in range(2):
        engine = Engine(
            MODEL, CACHED, num_blocks=24, block_size=4, token_budget=20, keep_trace=True
        )
        engine.generate(asked)
        traces.append(engine.trace)
    assert traces[0] == traces[1]
