"""The forward pass on a CPU, compiled and as TorchScript, against the oracle: any split of a text
into steps, blocks anywhere, any threads."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from reference_engine import oracle
from reference_engine.arithmetic import Arithmetic
from reference_engine.backends import make_runner
from reference_engine.batch import Span, StepBatch
from reference_engine.engine import Engine
from reference_engine.kv_dtype import KVDtype
from reference_engine.llama import thread_shards
from reference_engine.llama.config import LlamaConfig
from reference_engine.llama.cpu_runner import CpuRunner
from reference_engine.llama.thread_shard import PackedWeights
from reference_engine.model import Model, random_model
from reference_engine.model_loader import load_model
from reference_engine.native.library import Format, library, reason
from reference_engine.native.products import lacks
from reference_engine.native.runner import NativeRunner
from reference_engine.native.weights import NativeWeights
from reference_engine.parts import Parts
from reference_engine.quantized import quantized
from reference_engine.slots import Copy, Request
from solutions.ex1_paged_allocation.block_manager import BlockManager
from solutions.ex2_batching_scheduler.scheduler import Scheduler


def stored(model: Model) -> set[int]:
    """In which formats its matrices lie."""
    net = NativeWeights.of(model, library()).net
    layers = [net.layer[index] for index in range(model.config.layers)]
    lie = [
        panels.format for each in layers for panels in (each.qkv, each.out, each.gate_up, each.down)
    ]
    return {net.head.format, *lie}


def rounded(model: Model) -> Model:
    """The same with weights that bf16 holds, but for the norms'."""
    weights = {
        name: weight.bfloat16().float() if weight.dim() > 1 else weight
        for name, weight in model.weights.items()
    }
    return replace(model, weights=weights)


def uneven(model: Model) -> Model:
    """With norms that differ from column to column, as trained ones do."""
    norms = {
        name: torch.linspace(0.5, 1.5, len(norm))
        for name, norm in model.weights.items()
        if norm.dim() == 1
    }
    return replace(model, weights={**model.weights, **norms})


MODELS = {
    "tiny": load_model("random:tiny"),
    "one KV head": random_model(LlamaConfig(64, 24, 2, 6, 1, 4, 40, positions=128)),
    "every head its own, tied": random_model(
        LlamaConfig(64, 32, 1, 2, 2, 16, 40, positions=128, tied=True)
    ),
    "normed heads": random_model(LlamaConfig(64, 32, 2, 4, 2, 8, 40, positions=128, qk_norm=True)),
}
MODELS = {name: uneven(model) for name, model in MODELS.items()}
MODELS |= {f"{name}, of 16 bits": rounded(MODELS[name]) for name in ("one KV head", "normed heads")}
MODELS |= {
    f"{name}, of 8 bits": quantized(MODELS[name])
    for name in ("tiny", "one KV head", "normed heads")
}
TEXT = random.Random(0).choices(range(64), k=40)


@pytest.fixture(autouse=True)
def threads(request: pytest.FixtureRequest) -> Iterator[None]:
    """One thread, or the number that a test is parametrized with."""
    before = torch.get_num_threads()
    torch.set_num_threads(getattr(request, "param", 1))
    yield
    torch.set_num_threads(before)


@pytest.fixture(params=["compiled", "TorchScript"], autouse=True)
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every test runs with both; engines too."""
    if request.param == "TorchScript":
        monkeypatch.setattr("reference_engine.native.library.library", lambda: None)
    elif library() is None:
        pytest.skip(reason())
    return str(request.param)


two_threads = pytest.mark.parametrize("threads", [2], indirect=True)


def runner_for(
    model: Model,
    block_size: int = 4,
    seats: int = 8,
    arithmetic: Arithmetic = Arithmetic.FP32,
    kv_dtype: KVDtype = KVDtype.FP32,
) -> CpuRunner | NativeRunner:
    """A runner whose seats have scattered blocks for 40 tokens each; what they hold now is not a
    number."""
    per_seat = -(-44 // block_size)
    blocks = seats * per_seat + 1
    sizes = {"num_blocks": blocks, "block_size": block_size, "seats": seats, "width": per_seat}
    runner = make_runner(model, **sizes, arithmetic=arithmetic, kv_dtype=kv_dtype)
    assert isinstance(runner, CpuRunner | NativeRunner)
    blocks = list(range(1, seats * per_seat + 1))
    random.Random(1).shuffle(blocks)
    for seat in range(seats):
        runner.tables.put(seat, blocks[seat * per_seat : (seat + 1) * per_seat])
    runner.pool.fill(range(block_size * (seats * per_seat + 1)), float("nan"))
    return runner


def assert_close(got: torch.Tensor, wanted: torch.Tensor) -> None:
    torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("block_size", [1, 4, 16, 64])
def test_texts_in_random_chunks_side_by_side_get_the_oracles_logits(
    name: str, block_size: int
) -> None:
    model, dice = MODELS[name], random.Random(block_size)
    runner = runner_for(model, block_size, seats=4)
    done = [0] * 4
    while any(count < 40 for count in done):
        spans = []
        for seat in range(4):
            length = min(dice.choice([0, 1, 1, 2, 7, 19]), 40 - done[seat])
            if length:
                wanted = dice.randint(0, min(length, 2))
                spans.append(Span(seat, done[seat], TEXT[done[seat] : done[seat] + length], wanted))
                done[seat] += length
        if not spans:
            continue
        spans.sort(key=lambda span: (len(span.tokens), not span.wanted, span.start))
        outcome, at = runner.forward(StepBatch(tuple(spans))), 0
        for span in spans:
            end = span.start + len(span.tokens)
            wanted = slice(end - span.wanted, end)
            assert_close(
                outcome.logits[at : at + span.wanted], oracle.logits(model, TEXT[:end])[wanted]
            )
            assert_close(
                outcome.hidden[at : at + span.wanted], oracle.hidden(model, TEXT[:end])[wanted]
            )
            at += span.wanted
        assert at == len(outcome.logits)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("texts", [2, 4, 7])
def test_steps_of_many_rows_are_cut_and_get_the_oracles_logits(name: str, texts: int) -> None:
    """80, 160 and 280 rows: products take 128 or at most 64 of them at a time."""
    model = MODELS[name]
    outcome = runner_for(model).forward(
        StepBatch(tuple(Span(seat, 0, TEXT, 40) for seat in range(texts)))
    )
    for logits in outcome.logits.view(texts, 40, -1):
        assert_close(logits, oracle.logits(model, TEXT))


@pytest.mark.parametrize("vocab", [6, 32, 70])
def test_the_likeliest_token_is_the_first_of_equals(vocab: int) -> None:
    """The second half of the vocabulary are twins of the first."""
    model = random_model(LlamaConfig(vocab, 32, 1, 2, 2, 16, 40, positions=128))
    half = model.weights["lm_head.weight"][: vocab // 2]
    twins = replace(model, weights={**model.weights, "lm_head.weight": torch.cat((half, half))})
    outcome = runner_for(twins).forward(
        StepBatch((Span(0, 0, [token % vocab for token in TEXT], 40),))
    )
    assert torch.equal(outcome.logits[:, : vocab // 2], outcome.logits[:, vocab // 2 :])
    assert outcome.likeliest() == outcome.logits.argmax(-1).tolist()
    assert len(set(outcome.likeliest())) > 1
    assert max(outcome.likeliest()) < vocab // 2


def test_engines_of_one_model_share_its_packed_weights_and_a_changed_model_has_its_own() -> None:
    model = MODELS["tiny"]
    assert PackedWeights.of(model) is PackedWeights.of(model)
    changed = replace(
        model,
        weights={**model.weights, "model.norm.weight": 2 * model.weights["model.norm.weight"]},
    )
    outcome = runner_for(changed).forward(StepBatch((Span(0, 0, TEXT, 1),)))
    assert_close(outcome.logits[0], oracle.logits(changed, TEXT)[-1])


def test_matrices_are_stored_in_16_bits_where_that_loses_nothing(kind: str) -> None:
    if kind != "compiled":
        pytest.skip("stored by compiled code alone")
    whole, half = MODELS["normed heads"], MODELS["normed heads, of 16 bits"]
    assert stored(whole) == {Format.FP32}
    assert stored(half) == {Format.BF16}
    assert (whole.bytes_a_weight, half.bytes_a_weight) == (4, 2)
    weights = dict(half.weights)
    weights["model.layers.1.mlp.down_proj.weight"] = weights[
        "model.layers.1.mlp.down_proj.weight"
    ].clone()
    weights["model.layers.1.mlp.down_proj.weight"][0, 0] += 2**-20
    assert stored(replace(half, weights=weights)) == {Format.BF16, Format.FP32}, (
        "one number that needs more"
    )


def test_matrices_that_were_rounded_to_int8_are_stored_so(kind: str) -> None:
    if kind != "compiled":
        pytest.skip("stored by compiled code alone")
    model = MODELS["normed heads, of 8 bits"]
    assert stored(model) == {Format.INT8, Format.BF16}, "rows of 40 are no groups of 32"
    weights = dict(model.weights)
    weights["lm_head.weight"] = weights["lm_head.weight"].clone()
    weights["lm_head.weight"][-1, -1] *= 1.0001
    assert stored(replace(model, weights=weights)) == {Format.INT8, Format.BF16, Format.FP32}, (
        "one number between two"
    )


def test_shards_of_more_threads_than_requests_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thread_shards, "WORTH", 0)
    monkeypatch.setattr(thread_shards, "SLACK", 100.0)
    model = MODELS["tiny"]
    spans = tuple(Span(seat, 0, TEXT[: 9 + seat], 1) for seat in range(3))
    for threads in (5, 2):
        torch.set_num_threads(threads)
        outcome = runner_for(model).forward(StepBatch(spans))
        for seat in range(3):
            assert_close(outcome.logits[seat], oracle.logits(model, TEXT[: 9 + seat])[-1])


def test_a_tree_of_guesses_sees_what_each_path_alone_sees() -> None:
    model = MODELS["tiny"]
    parent, guesses = [-1, 0, 0, 1, 1, 2], [9, 8, 7, 6, 5, 4]
    mask = torch.eye(6, dtype=torch.bool)
    depths = [0] * 6
    for node in range(1, 6):
        mask[node] |= mask[parent[node]]
        depths[node] = depths[parent[node]] + 1
    for plain in (0, 3):
        runner = runner_for(model)
        runner.forward(StepBatch((Span(2, 0, TEXT[: 20 - plain], 1),)))
        span = Span(2, 20 - plain, [*TEXT[20 - plain : 20], *guesses], 6, tree=6)
        other = Span(3, 0, TEXT[:9], 1)
        outcome = runner.forward(StepBatch((span, other), tuple(depths), mask))
        for node in range(6):
            path = [guesses[seen] for seen in range(6) if mask[node, seen]]
            assert_close(outcome.logits[node], oracle.logits(model, TEXT[:20] + path)[-1])
        assert_close(outcome.logits[6], oracle.logits(model, TEXT[:9])[-1])


@pytest.mark.parametrize("plain", [0, 2])
def test_requests_of_a_step_may_have_trees_of_their_own(plain: int) -> None:
    """A chain, a fan and a tree between them: each sees its own line of the step's mask, at its own
    depths."""
    model, guesses = MODELS["tiny"], [9, 8, 7, 6]
    masks = torch.eye(4, dtype=torch.bool).repeat(3, 1, 1)
    depths = [[0] * 4 for _ in range(3)]
    for tree, parent in enumerate(([-1, 0, 1, 2], [-1, 0, 0, 0], [-1, 0, 0, 1])):
        for node in range(1, 4):
            masks[tree, node] |= masks[tree, parent[node]]
            depths[tree][node] = depths[tree][parent[node]] + 1
    runner = runner_for(model)
    held = [12 - plain, 14 - plain, 16 - plain]
    runner.forward(
        StepBatch(tuple(Span(seat, 0, TEXT[:length], 1) for seat, length in enumerate(held)))
    )
    spans = tuple(
        Span(
            seat,
            length,
            [*TEXT[length : length + plain], *guesses],
            4,
            tree=4,
            first=4 * (2 - seat),
        )
        for seat, length in enumerate(held)
    )
    outcome = runner.forward(
        StepBatch(spans, tuple(each for tree in depths for each in tree), masks.flatten(0, 1))
    )
    for seat, length in enumerate(held):
        for node in range(4):
            path = [guesses[seen] for seen in range(4) if masks[2 - seat, node, seen]]
            due = oracle.logits(model, TEXT[: length + plain] + path)[-1]
            assert_close(outcome.logits[4 * seat + node], due)


def test_moved_and_copied_kv_is_read_where_it_went() -> None:
    model = MODELS["tiny"]
    runner = runner_for(model)
    table = [int(block) for block in runner.tables.array[0]]
    runner.forward(StepBatch((Span(0, 0, TEXT[:12], 0),)))
    spare = [int(block) for block in runner.tables.array[1]]
    runner.copy([Copy(table[1], spare[5]), Copy(spare[5], spare[6])])
    runner.tables.put(0, [table[0], spare[6], *table[2:]])
    first, next_token = spare[6] * 4, StepBatch((Span(0, 12, TEXT[12:13], 1),))
    wanted = oracle.logits(model, TEXT[:13])[-1]
    assert_close(runner.forward(next_token).logits[0], wanted)
    away = spare[7] * 4
    runner.move([first, first + 1], [first + 1, away])  # one after the other would lose a token
    assert not torch.allclose(runner.forward(next_token).logits[0], wanted, atol=1e-3)
    runner.move([away], [first + 1])
    assert_close(runner.forward(next_token).logits[0], wanted)


def test_a_steady_batch_of_decodes_stays_right_as_tables_grow_and_change() -> None:
    model = MODELS["tiny"]
    runner = runner_for(model, block_size=8, seats=4)
    places = [3, 5, 12]
    for seat, length in enumerate(places):
        runner.forward(StepBatch((Span(seat, 0, TEXT[:length], 0),)))
    spare = int(runner.tables.array[3, 0])
    for step in range(24):
        # the first block of seat 0 moves house, and what it leaves behind is no number
        if step > 8:
            table = runner.tables.array[0].tolist()
            runner.copy([Copy(table[0], spare)])
            runner.tables.put(0, [spare, *table[1:]])
            spare = table[0]
            runner.pool.fill(range(spare * 8, spare * 8 + 8), float("nan"))
        outcome = runner.forward(
            StepBatch(tuple(Span(seat, places[seat], [TEXT[places[seat]]], 1) for seat in range(3)))
        )
        for seat in range(3):
            assert_close(outcome.logits[seat], oracle.logits(model, TEXT[: places[seat] + 1])[-1])
            places[seat] += 1


@two_threads
def test_a_step_spread_over_threads_says_the_same(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    spread = []
    original = thread_shards.ThreadShards._spread
    monkeypatch.setattr(thread_shards, "WORTH", 0)
    monkeypatch.setattr(
        thread_shards.ThreadShards,
        "_spread",
        lambda self, batch, shares: spread.append(shares) or original(self, batch, shares),
    )
    model, dice = MODELS["tiny"], random.Random(2)
    asked = [
        Request(id, [dice.randrange(128) for _ in range(dice.randint(1, 40))], 12)
        for id in range(9)
    ]
    engine = Engine(
        model, Parts(BlockManager, Scheduler), num_blocks=120, block_size=4, token_budget=70
    )
    for request, output in zip(asked, engine.generate(asked), strict=True):
        assert oracle.replay(model, request.prompt, output) is None
    assert len(spread) > 5 if kind == "TorchScript" else not spread
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("kind", ["compiled"], indirect=True)
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("threads", [1, 2, 5], indirect=True)
def test_a_text_is_the_same_to_the_last_bit_in_any_batch(name: str) -> None:
    model, dice = MODELS[name], random.Random(3)
    alone = runner_for(model).forward(StepBatch((Span(0, 0, TEXT, 40),))).logits.clone()
    for _ in range(4):
        runner, done = runner_for(model), 0
        while done < 40:
            count = min(40 - done, dice.randint(1, 21))
            others = tuple(
                Span(seat, 0, TEXT[: dice.randint(1, 30)], 1)
                for seat in range(1, dice.randint(2, 8))
            )
            span = Span(0, done, TEXT[done : done + count], count)
            logits = runner.forward(StepBatch((span, *others))).logits
            assert torch.equal(logits[:count], alone[done : done + count])
            done += count


@pytest.mark.parametrize("kind", ["compiled"], indirect=True)
@pytest.mark.parametrize("threads", [1, 2], indirect=True)
@pytest.mark.parametrize(
    ("name", "arithmetic", "kv_dtype", "block_size"),
    [
        ("one KV head, of 16 bits", Arithmetic.BF16, KVDtype.FP32, 4),
        ("normed heads, of 16 bits", Arithmetic.BF16, KVDtype.FP32, 4),
        ("tiny, of 8 bits", Arithmetic.INT8, KVDtype.FP32, 4),
        ("normed heads, of 8 bits", Arithmetic.INT8, KVDtype.FP32, 4),
        ("one KV head, of 16 bits", Arithmetic.BF16, KVDtype.BF16, 16),  # attention rounds, too
        ("normed heads, of 16 bits", Arithmetic.BF16, KVDtype.BF16, 16),
        ("normed heads, of 16 bits", Arithmetic.BF16, KVDtype.BF16, 1),
        ("normed heads, of 8 bits", Arithmetic.INT8, KVDtype.BF16, 16),
    ],
)
def test_narrow_products_are_near_the_oracle_and_the_same_in_any_batch(
    name: str, arithmetic: Arithmetic, kv_dtype: KVDtype, block_size: int
) -> None:
    if lacking := lacks(arithmetic):
        pytest.skip(lacking)
    model, steps = MODELS[name], StepBatch(tuple(Span(seat, 0, TEXT, 40) for seat in range(7)))
    exact = runner_for(model, block_size, kv_dtype=kv_dtype).forward(steps).logits.clone()
    rounded = runner_for(model, block_size, arithmetic=arithmetic, kv_dtype=kv_dtype)
    together = rounded.forward(steps).logits.clone()
    assert 1e-4 < (together - exact).abs().max() < 0.05 * exact.abs().max()
    runner = runner_for(model, block_size, arithmetic=arithmetic, kv_dtype=kv_dtype)
    for row in range(40):
        assert torch.equal(
            runner.forward(StepBatch((Span(3, row, [TEXT[row]], 1),))).logits[0], together[row]
        )


@pytest.mark.parametrize("narrow", ["bf16", "int8"])
def test_narrow_products_are_refused_where_nothing_computes_them(
    kind: str, narrow: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "compiled":
        monkeypatch.setattr(library(), f"multiplies_{narrow}", lambda: 0)
    told = (
        f"this processor has no dot products of {narrow}"
        if kind == "compiled"
        else "need compiled code"
    )
    with pytest.raises(ValueError, match=told):
        runner_for(MODELS["tiny"], arithmetic=Arithmetic[narrow.upper()])


@two_threads
def test_a_thread_that_fails_fails_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thread_shards, "WORTH", 0)
    runner = runner_for(MODELS["tiny"])
    spans = [Span(seat, 0, [1], 1) for seat in range(3)] + [Span(3, 0, [999], 1)]
    with pytest.raises((IndexError, RuntimeError), match="out of range"):
        runner.forward(StepBatch(tuple(spans)))
    assert torch.get_num_threads() == 2
    assert len(runner.forward(StepBatch(tuple(spans[:3]))).logits) == 3
