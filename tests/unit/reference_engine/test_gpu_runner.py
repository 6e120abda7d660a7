"""The GPU runner on CPU tensors: the same tokens as the CPU runner, whatever is padded, captured or
patched."""

from __future__ import annotations

import os

os.environ.setdefault("TRITON_INTERPRET", "1")

import random
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import pytest
import torch

from reference_engine import engine as engine_module
from reference_engine import kernels
from reference_engine.batch import Span, StepBatch
from reference_engine.engine import Engine
from reference_engine.gpu.fill_inputs import fill
from reference_engine.gpu.graphs import Graphs
from reference_engine.gpu.network import Results
from reference_engine.gpu.runner import GpuRunner
from reference_engine.gpu.shapes import BatchKind, decode_shapes, padded, shape_of
from reference_engine.gpu.staging import Size, Staging
from reference_engine.gpu.tables import ChangingTables
from reference_engine.kernels import runtime
from reference_engine.llama.config import SHAPES
from reference_engine.llama.cpu_runner import CpuRunner
from reference_engine.medusa.heads import random_heads
from reference_engine.medusa.speculator import MedusaSpeculator
from reference_engine.medusa.tree_search import TreeChoice
from reference_engine.model import Model, random_model
from reference_engine.parts import Parts
from reference_engine.slots import Copy, Request
from solutions.ex1_paged_allocation.block_manager import BlockManager
from solutions.ex2_batching_scheduler.scheduler import Scheduler
from solutions.ex3_prefix_cache.prefix_cache import PrefixCache
from solutions.ex4_medusa import medusa

torch.set_num_threads(1)
PARTS = Parts(BlockManager, Scheduler, PrefixCache, medusa)
NEEDS_TRITON = pytest.mark.skipif(bool(runtime.MISSING), reason=runtime.MISSING)
TREE = torch.tensor([[1, 0, 0], [1, 1, 0], [1, 0, 1]]).bool()
SIZES = {"num_blocks": 20, "block_size": 4, "seats": 3, "width": 8}


def copying(step: Callable[[], Results]) -> tuple[Callable[[], None], Results]:
    """What a CUDA graph does, without one: every replay leaves its results in the buffers of the
    first run."""
    results = step()

    def replay() -> None:
        again = step()
        for field in fields(Results):
            getattr(results, field.name).copy_(getattr(again, field.name))

    return replay, results


@pytest.fixture(scope="module")
def model() -> Model:
    return random_model("tiny", seed=3)


def fresh(model: Model) -> Model:
    """The same weights in a mapping of their own, as the runner may rearrange it."""
    return replace(model, weights=dict(model.weights))


def pair(model: Model, **options: object) -> tuple[CpuRunner, GpuRunner]:
    """A CPU runner and a GPU runner with the same two tables."""
    runners = CpuRunner(model, **SIZES), GpuRunner(fresh(model), **SIZES, **options)
    for runner in runners:
        runner.tables.put(0, [3, 1])
        runner.tables.put(1, [7, 2, 9])
    return runners


def agree(runners: tuple[CpuRunner, GpuRunner], batch: StepBatch) -> list[int]:
    """Both run the batch and say the same; the tokens."""
    expected, got = runners[0].forward(batch), runners[1].forward(batch)
    torch.testing.assert_close(got.logits, expected.logits, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(got.hidden, expected.hidden, rtol=1e-4, atol=1e-4)
    assert got.said.read() == expected.logits.argmax(-1).tolist()
    return got.said.read()


STORY = [
    # a chunk that does not sample; a whole prompt
    StepBatch((Span(0, 0, [5], 0), Span(1, 0, [9, 8, 7, 6, 5, 4], 1))),
    StepBatch((Span(0, 1, [6], 1), Span(1, 6, [3], 1))),  # decodes
    # trees
    StepBatch((Span(0, 2, [6, 9, 11], 3, 3), Span(1, 7, [3, 1, 2], 3, 3)), (0, 1, 1), TREE),
    StepBatch((Span(0, 3, [6], 1), Span(1, 8, [3, 1, 2], 1))),  # a decode and a chunk
    # single rows, one of which does not sample
    StepBatch((Span(0, 4, [7], 0), Span(1, 11, [3], 1))),
    StepBatch((Span(0, 5, [8], 0), Span(1, 12, [4], 0))),  # nor does anybody here
]


@pytest.mark.parametrize("captured", [False, True])
def test_every_kind_of_step_says_what_the_cpu_runner_says(model: Model, captured: bool) -> None:
    runners = pair(model, recorder=copying if captured else None)
    for _ in range(3):
        for batch in STORY:
            agree(runners, batch)
    assert bool(runners[1].notes) == (not captured)


@NEEDS_TRITON
def test_the_kernels_in_the_interpreter_say_what_the_cpu_runner_says(model: Model) -> None:
    runners = pair(model, ops=kernels.ops("cpu", interpret=True))
    for batch in STORY:
        agree(runners, batch)


def test_qk_norm_is_computed_too() -> None:
    config = replace(SHAPES["tiny"], qk_norm=True, layers=1)
    runners = pair(random_model(config, seed=1))
    for batch in STORY[:3]:
        agree(runners, batch)


def test_poison_in_slots_that_nobody_owns_does_not_matter(model: Model) -> None:
    runners = pair(model)
    owned = [block * 4 + place for block in (3, 1, 7, 2, 9) for place in range(4)]
    free = [slot for slot in range(80) if slot not in owned]
    runners[1].pool.all[:, :, free] = float("nan")
    for batch in STORY:
        agree(runners, batch)


def test_a_token_of_the_step_before_may_be_named_by_its_row(model: Model) -> None:
    runners = pair(model)
    agree(runners, STORY[0])
    said = agree(runners, STORY[1])
    named = StepBatch((Span(0, 2, [-1], 1), Span(1, 7, [-2], 1)))
    told = StepBatch((Span(0, 2, [said[0]], 1), Span(1, 7, [said[1]], 1)))
    expected = runners[0].forward(told)
    torch.testing.assert_close(
        runners[1].forward(named).logits, expected.logits, rtol=1e-4, atol=1e-4
    )


def test_tokens_can_be_read_after_the_next_step_was_sent(model: Model) -> None:
    runners = pair(model)
    first = runners[1].forward(STORY[0])
    expected = first.said.read()
    second = runners[1].forward(STORY[1])
    assert first.said.read() == expected
    assert len(second.said.read()) == 2


def test_blocks_are_copied_in_order_and_slots_moved_at_once(model: Model) -> None:
    cpu, gpu = pair(model)
    agree((cpu, gpu), STORY[0])
    for runner in (cpu, gpu):
        runner.copy([Copy(7, 11), Copy(11, 12)])
        runner.move([7 * 4, 7 * 4 + 1], [7 * 4 + 1, 7 * 4])
        runner.tables.put(2, [12, 2])
    agree((cpu, gpu), StepBatch((Span(0, 1, [6], 1), Span(1, 6, [3], 1), Span(2, 6, [3], 1))))


def test_a_new_tree_mask_replaces_the_old_one(model: Model) -> None:
    runners = pair(model, recorder=copying)
    agree(runners, STORY[0])
    other = torch.tensor([[1, 0, 0], [1, 1, 0], [1, 1, 1]]).bool()
    for mask in (TREE, TREE, other, TREE):
        agree(runners, replace(STORY[2], mask=mask))


def test_many_changed_tables_are_sent_whole(model: Model) -> None:
    sizes = {"num_blocks": 400, "block_size": 1, "seats": 2, "width": 180}
    cpu, gpu = CpuRunner(model, **sizes), GpuRunner(fresh(model), **sizes)
    for runner in (cpu, gpu):
        runner.tables.put(0, list(range(1, 171)))
        runner.tables.put(1, list(range(171, 341)))
    agree((cpu, gpu), StepBatch((Span(0, 0, [1, 2, 3], 1), Span(1, 0, [5, 6, 7, 8], 1))))


def test_a_second_runner_shares_the_joined_weights(model: Model) -> None:
    own = fresh(model)
    for _ in range(2):
        GpuRunner(own, **SIZES)
    name = "model.layers.0.self_attn.{}_proj.weight"
    storages = {own.weights[name.format(letter)].untyped_storage().data_ptr() for letter in "qkv"}
    first = own.weights[name.format("q")].data_ptr()
    GpuRunner(own, **SIZES)
    assert len(storages) == 1 and own.weights[name.format("q")].data_ptr() == first
    for key, value in model.weights.items():
        assert torch.equal(own.weights[key], value)


# ---------------------------------------------------------------- in the engine


def requests(count: int, seed: int) -> list[Request]:
    """Prompts of which some begin alike."""
    rng = random.Random(seed)
    common = [rng.randrange(128) for _ in range(9)]
    tails = [[rng.randrange(128) for _ in range(rng.randint(1, 14))] for _ in range(count)]
    return [
        Request(id, common * (id % 2) + tail, rng.randint(1, 9)) for id, tail in enumerate(tails)
    ]


@pytest.fixture
def on_gpu(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Give every engine from now on the GPU runner."""

    def use(**options: Any) -> None:
        def make(model: Model, arithmetic: object, kv_dtype: object, **sizes: int) -> GpuRunner:
            return GpuRunner(fresh(model), **sizes, **options)

        monkeypatch.setattr(engine_module, "make_runner", make)

    return use


SMALL_POOL = {"num_blocks": 12, "block_size": 4, "max_seqs": 4, "token_budget": 24, "chunk": 5}


@pytest.mark.parametrize("captured", [False, True])
def test_the_engine_says_the_same_under_preemption_chunks_and_sharing(
    model: Model, on_gpu: Callable[..., None], captured: bool
) -> None:
    asked = requests(7, seed=1)
    reference = Engine(model, PARTS, **SMALL_POOL)
    expected = reference.generate(asked)
    on_gpu(recorder=copying if captured else None)
    engine = Engine(model, PARTS, **SMALL_POOL)
    assert isinstance(engine.runner, GpuRunner)
    assert engine.generate(asked) == expected
    assert engine.metrics.preemptions == reference.metrics.preemptions > 0
    assert engine.metrics.cached == reference.metrics.cached > 0


@NEEDS_TRITON
def test_the_engine_says_the_same_with_interpreted_kernels(
    model: Model, on_gpu: Callable[..., None]
) -> None:
    asked = [Request(id, [7 * id + 1, 5, 9][: id + 1], 3) for id in range(2)]
    sizes = {"num_blocks": 9, "block_size": 2, "max_seqs": 2, "token_budget": 8}
    expected = Engine(model, PARTS, **sizes).generate(asked)
    on_gpu(ops=kernels.ops("cpu", interpret=True))
    assert Engine(model, PARTS, **sizes).generate(asked) == expected


def test_speculation_says_the_same(model: Model, on_gpu: Callable[..., None]) -> None:
    choice = TreeChoice(((0,), (1,), (0, 0)), (0.5, 0.2, 0.3))
    sizes = {"num_blocks": 40, "block_size": 4, "max_seqs": 3, "token_budget": 32}
    asked = requests(4, seed=2)
    expected = Engine(model, PARTS, **sizes).generate(asked)
    on_gpu(recorder=copying)
    speculator = MedusaSpeculator(medusa, random_heads(model, 2, seed=0), choice)
    engine = Engine(model, PARTS, **sizes, speculator=speculator)
    assert engine.generate(asked) == expected
    assert engine.metrics.guessed > 0


# ---------------------------------------------------------------- shapes and numbers


def test_shapes_are_few_and_hold_what_they_must() -> None:
    assert [padded(n, 256) for n in (1, 2, 3, 5, 8, 9, 64, 65, 128, 129, 256)] == [
        1, 2, 4, 8, 8, 16, 64, 80, 128, 160, 256,
    ]  # fmt: skip
    assert padded(5, 6) == 6
    assert len(decode_shapes(256)) < 24
    assert all(any(shape.size.rows >= n for shape in decode_shapes(256)) for n in range(1, 257))
    mixed = shape_of(STORY[0], seats=8)
    assert (mixed.kind, mixed.size.rows, mixed.size.batch, mixed.size.wanted) == (
        BatchKind.MIXED,
        16,
        8,
        1,
    )
    tree = shape_of(STORY[2], seats=8)
    assert (tree.kind, tree.size.rows, tree.size.batch, tree.nodes) == (BatchKind.TREE, 6, 2, 3)


def test_padding_rows_write_to_scratch_and_belong_to_nobody() -> None:
    tables = ChangingTables(seats=4, width=3)
    tables.put(2, [5, 9])
    batch = StepBatch((Span(2, 5, [11], 1),) * 3)
    shape = shape_of(batch, seats=4)
    staging = Staging(shape.size, torch.device("cpu"))
    fill(staging.host, batch, shape, tables, block_size=4)
    staging.send()
    sent = staging.device
    assert sent.tokens.tolist() == [11, 11, 11, 0]
    assert sent.slots.tolist() == [9 * 4 + 1] * 3 + [0]
    assert sent.lengths.tolist() == [6, 6, 6, 0]
    assert sent.starts.tolist() == [0, 1, 2, 3, 4]
    assert sent.where[:3].tolist() == [2 * 3, 2 * 3 + 1, -1] and sent.block[:2].tolist() == [5, 9]


def test_tables_remember_each_changed_cell_once_with_its_last_block() -> None:
    tables = ChangingTables(seats=2, width=4)
    tables.put(1, [5, 6])
    tables.changed.clear()
    tables.put(1, [5, 7, 8])
    tables.put(1, [5, 9])
    assert tables.changed == {5: 9, 6: 0}


def test_staging_never_writes_into_a_buffer_that_was_just_sent() -> None:
    staging = Staging(Size(4, 4, 4, 4), torch.device("cpu"))
    first = staging.host.tokens
    staging.send()
    assert staging.host.tokens is not first
    staging.send()
    assert staging.host.tokens is first


# ---------------------------------------------------------------- capture


def test_a_step_is_recorded_the_second_time_and_replayed_from_then_on() -> None:
    ran, replayed = [], []
    graphs = Graphs[int](lambda step: (lambda: replayed.append(1), step()))
    for _ in range(4):
        graphs.run("a", lambda: ran.append(1) or len(ran))
    assert (len(ran), len(replayed), graphs.count) == (2, 3, 1)


def test_a_capture_that_fails_is_told_once_and_steps_go_on_without() -> None:
    def failing(step: Callable[[], int]) -> tuple[Callable[[], None], int]:
        raise RuntimeError("operation not permitted when stream is capturing\nlong advice")

    graphs = Graphs[int](failing)
    assert graphs.run("a", lambda: 1) == 1
    with pytest.warns(RuntimeWarning, match="could not be captured"):
        assert graphs.run("a", lambda: 2) == 2
    assert graphs.run("a", lambda: 3) == 3
    assert graphs.why == (
        "a CUDA graph could not be captured (operation not permitted when stream is capturing); "
        "steps are launched one by one"
    )


def test_prepare_captures_every_decode_shape_and_changes_no_table(model: Model) -> None:
    runners = pair(model, recorder=copying)
    assert runners[1].prepare() == len(decode_shapes(3)) == 3
    for batch in STORY:
        agree(runners, batch)
