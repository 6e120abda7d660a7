"""Planning while the device computes changes when tokens are told, and nothing else."""

from __future__ import annotations

import os

os.environ.setdefault("TRITON_INTERPRET", "1")

import random
from dataclasses import replace

import pytest
import torch

from reference_engine import engine as engine_module
from reference_engine.engine import Engine
from reference_engine.gpu.overlap import OverlappedEngine
from reference_engine.gpu.runner import GpuRunner
from reference_engine.model import Model, random_model
from reference_engine.naive import parts as naive_parts
from reference_engine.parts import Parts
from reference_engine.sampler import Sampling
from reference_engine.slots import Request
from solutions.ex1_paged_allocation.block_manager import BlockManager
from solutions.ex2_batching_scheduler.scheduler import Scheduler
from solutions.ex3_prefix_cache.prefix_cache import PrefixCache

torch.set_num_threads(1)
PARTS = Parts(BlockManager, Scheduler, PrefixCache)
SIZES = {"num_blocks": 12, "block_size": 4, "max_seqs": 4, "token_budget": 24, "chunk": 5}


@pytest.fixture(scope="module")
def model() -> Model:
    return random_model("tiny", seed=3)


@pytest.fixture(autouse=True)
def on_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    def make(model: Model, arithmetic: object, kv_dtype: object, **sizes: int) -> GpuRunner:
        return GpuRunner(replace(model, weights=dict(model.weights)), **sizes)

    monkeypatch.setattr(engine_module, "make_runner", make)


def requests(count: int, seed: int, eos: int | None = None) -> list[Request]:
    rng = random.Random(seed)
    common = [rng.randrange(128) for _ in range(9)]
    tails = [[rng.randrange(128) for _ in range(rng.randint(1, 14))] for _ in range(count)]
    return [
        Request(id, common * (id % 2) + tail, rng.randint(1, 9), eos=eos)
        for id, tail in enumerate(tails)
    ]


@pytest.mark.parametrize("parts", [PARTS, naive_parts()], ids=["solutions", "naive"])
@pytest.mark.parametrize("seed", range(4))
def test_the_texts_are_the_same_in_as_many_steps(model: Model, parts: Parts, seed: int) -> None:
    asked = requests(7, seed)
    sizes = {**SIZES, "num_blocks": 14}
    plain, late = Engine(model, parts, **sizes), OverlappedEngine(model, parts, **sizes)
    assert late.generate(asked) == plain.generate(asked)
    assert late.metrics == plain.metrics
    assert late.idle


def test_preempted_requests_say_the_same(model: Model) -> None:
    asked = requests(7, seed=1)
    plain, late = Engine(model, PARTS, **SIZES), OverlappedEngine(model, PARTS, **SIZES)
    assert late.generate(asked) == plain.generate(asked)
    assert late.metrics.preemptions == plain.metrics.preemptions > 0


def test_requests_that_need_their_token_at_once_are_served_among_others(model: Model) -> None:
    """Some end at an EOS, some are drawn, the others are overlapped."""

    def serve(engine: Engine) -> list[list[int]]:
        outputs: dict[int, list[int]] = {}
        for one in requests(3, seed=5):
            outputs[engine.add(one.prompt, one.max_new)] = []
        eos = Engine(model, PARTS, **SIZES).generate([Request(0, [9, 4], 6)])[0][3]
        outputs[engine.add([9, 4], 12, eos=eos)] = []
        outputs[engine.add([8, 8, 1], 5, Sampling(temperature=0.9, seed=4))] = []
        while not engine.idle:
            for event in engine.step():
                outputs[event.id] += event.tokens
        return list(outputs.values())

    assert serve(OverlappedEngine(model, PARTS, **SIZES)) == serve(Engine(model, PARTS, **SIZES))


def test_tokens_are_told_one_step_late_and_never_as_placeholders(model: Model) -> None:
    engine = OverlappedEngine(model, PARTS, **SIZES)
    engine.add([5, 6], 3)
    told = []
    while not engine.idle:
        told.append([(event.tokens, event.finished) for event in engine.step()])
    assert [len(step) for step in told] == [0, 1, 1, 1]
    assert [finished for step in told for _, finished in step] == [False, False, True]
    assert all(token >= 0 for step in told for tokens, _ in step for token in tokens)


def test_a_stream_ends_with_its_last_token(model: Model) -> None:
    expected = Engine(model, PARTS, **SIZES).generate([Request(0, [5, 6], 7), Request(1, [7], 4)])
    engine = OverlappedEngine(model, PARTS, **SIZES)
    streams = [engine.stream([5, 6], 7), engine.stream([7], 4)]
    assert [list(stream) for stream in streams] == expected


def test_an_aborted_request_is_not_heard_again(model: Model) -> None:
    engine = OverlappedEngine(model, PARTS, **SIZES)
    kept, gone = engine.add([5, 6], 6), engine.add([7, 8], 6)
    engine.step()
    engine.step()
    engine.abort(gone)
    heard = []
    while not engine.idle:
        heard += [event.id for event in engine.step()]
    assert set(heard) == {kept} and len(heard) == 5


def test_a_trace_cannot_be_kept(model: Model) -> None:
    with pytest.raises(ValueError, match="trace"):
        OverlappedEngine(model, PARTS, **SIZES, keep_trace=True)
