"""KV kept in bf16: rounded to the nearest, half the memory, and the text of a plain path that
rounds the same."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

import pytest
import torch
from torch import Tensor

from reference_engine import oracle
from reference_engine.backends import make_runner
from reference_engine.batch import Span, StepBatch
from reference_engine.engine import Engine
from reference_engine.kv_dtype import KVDtype
from reference_engine.llama.config import LlamaConfig
from reference_engine.llama.cpu_runner import CpuRunner
from reference_engine.medusa.heads import RequestProgress
from reference_engine.medusa.speculator import MedusaSpeculator
from reference_engine.medusa.tree_search import TreeChoice
from reference_engine.model import random_model
from reference_engine.native.library import library, reason
from reference_engine.native.runner import NativeRunner
from reference_engine.parts import Parts
from reference_engine.slots import Request
from solutions.ex1_paged_allocation.block_manager import BlockManager
from solutions.ex2_batching_scheduler.scheduler import Scheduler
from solutions.ex3_prefix_cache.prefix_cache import PrefixCache
from solutions.ex4_medusa import medusa

SHAPE = LlamaConfig(
    vocab=64, width=48, layers=2, heads=4, kv_heads=2, head_width=40, inner=40, positions=128
)
MODEL = random_model(SHAPE)
TEXT = random.Random(0).choices(range(64), k=60)
TREE = TreeChoice(((0,), (1,), (1, 0), (1, 1), (1, 1, 0), (1, 1, 1)), (0.1,) * 6)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(params=["compiled", "TorchScript"], autouse=True)
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every test runs with both."""
    if request.param == "TorchScript":
        monkeypatch.setattr("reference_engine.native.library.library", lambda: None)
    elif library() is None:
        pytest.skip(reason())
    return str(request.param)


def runner_for(kv_dtype: KVDtype, block_size: int = 16) -> CpuRunner | NativeRunner:
    """With one seat, whose blocks lie backwards; what nobody has written is not a number."""
    blocks = -(-len(TEXT) // block_size)
    runner = make_runner(
        MODEL,
        num_blocks=blocks + 1,
        block_size=block_size,
        seats=1,
        width=blocks,
        kv_dtype=kv_dtype,
    )
    assert isinstance(runner, CpuRunner | NativeRunner)
    runner.tables.put(0, range(blocks, 0, -1))
    runner.pool.fill(range((blocks + 1) * block_size), float("nan"))
    return runner


@pytest.mark.parametrize("block_size", [1, 4, 16])
def test_logits_are_those_of_the_oracle_with_keys_and_values_rounded(block_size: int) -> None:
    runner, dice, done = runner_for(KVDtype.BF16, block_size), random.Random(block_size), 0
    due, exact = oracle.logits(MODEL, TEXT, KVDtype.BF16), oracle.logits(MODEL, TEXT)
    while done < len(TEXT):
        count = min(dice.choice([1, 1, 2, 7, 19]), len(TEXT) - done)
        logits = runner.forward(
            StepBatch((Span(0, done, TEXT[done : done + count], count),))
        ).logits
        rounded = exact[done : done + count] - due[done : done + count]
        done += count
        assert (logits - due[done - count : done]).abs().max() < max(
            1e-4, 0.3 * float(rounded.abs().max())
        )
    assert (exact - due).abs().max() > 1e-3, "rounding shows"


def test_a_number_is_rounded_to_the_nearest_as_torch_rounds_it(kind: str) -> None:
    """Of the first layer, whose keys and values are the same whatever is kept."""
    kept = []
    for kv_dtype in KVDtype:
        runner = runner_for(kv_dtype)
        runner.pool.fill(range(80), 0.0)
        runner.forward(StepBatch((Span(0, 0, TEXT, 1),)))
        pool = (
            runner.pool.tensor if isinstance(runner, NativeRunner) else runner.pool.heads[0][None]
        )
        kept.append(pool[0].flatten().sort().values)
    assert kept[1].dtype is torch.bfloat16
    assert torch.equal(kept[0].bfloat16(), kept[1])
    assert len(kept[1].unique()) > 1000


def test_a_pool_of_bf16_is_half_as_large() -> None:
    whole, half = (runner_for(each).pool.nbytes for each in KVDtype)
    assert whole == 2 * half == 4 * 5 * 16 * 2 * SHAPE.layers * SHAPE.keys


class Knowing:
    """Heads whose second guess is what the text goes on with, so that what stands has to be moved."""

    def __init__(self, texts: Sequence[Sequence[int]]) -> None:
        self._texts, self._said = texts, dict[int, int]()

    def guess(self, told: Sequence[RequestProgress], hidden: Tensor, count: int) -> Tensor:
        rows = []
        for one in told:
            at = self._said[one.id] = self._said.get(one.id, 0) + len(one.tokens)
            truth = [*self._texts[one.id][at : at + 3], 0, 0, 0][:3]
            rows.append([[(token + 1) % 64, token, (token + 2) % 64][:count] for token in truth])
        return torch.tensor(rows)

    def forget(self, id: int) -> None:
        self._said.pop(id, None)


def engine(texts: Sequence[Sequence[int]] | None = None, **sizes: int | None) -> Engine:
    """With KV in bf16; it speculates where the texts are known."""
    guessing = None if texts is None else MedusaSpeculator(medusa, Knowing(texts), TREE)
    parts = Parts(BlockManager, Scheduler, PrefixCache, medusa)
    return Engine(MODEL, parts, **sizes, speculator=guessing, kv_dtype=KVDtype.BF16)


@pytest.mark.parametrize("speculating", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_the_engines_text_is_the_oracles_with_keys_and_values_rounded(
    kind: str, seed: int, speculating: bool
) -> None:
    """Blocks are shared, copied, taken back and computed again; prompts are read in chunks; trees
    are compacted."""
    dice = random.Random(seed)
    opening = dice.choices(range(64), k=9)
    asked = [
        Request(id, opening + dice.choices(range(64), k=dice.randint(1, 20)), 12) for id in range(6)
    ]
    roomy = engine(num_blocks=200, block_size=4).generate(asked)
    sizes = {
        "num_blocks": 20,
        "block_size": dice.choice([3, 4]),
        "chunk": 5,
        "token_budget": 24,
        "max_seqs": 4,
    }
    tight = engine(roomy if speculating else None, **sizes)
    outputs = tight.generate(asked)
    assert (tight.metrics.accepted > 20) == speculating
    assert tight.metrics.preemptions > 0 < tight.metrics.cached
    if kind == "compiled":
        assert outputs == roomy, "the same to the last bit in any batch"
    for request, output in zip(asked, outputs, strict=True):
        assert oracle.replay(MODEL, request.prompt, output, 0.02, KVDtype.BF16) is None


def test_samples_of_one_prompt_copy_the_block_in_which_they_part(kind: str) -> None:
    running = engine(num_blocks=60, block_size=8)
    first = running.add(TEXT[:13], 6, n=3)
    said: dict[int, list[int]] = {}
    while not running.idle:
        for event in running.step():
            said.setdefault(event.id, []).extend(event.tokens)
    assert running.metrics.copies > 0
    for id in range(first, first + 3):
        assert oracle.replay(MODEL, TEXT[:13], said[id], 0.02, KVDtype.BF16) is None


def test_a_gpu_keeps_kv_in_the_dtype_of_its_weights() -> None:
    assert "an option on CPUs" in KVDtype.BF16.lacking("cuda")
    assert not KVDtype.FP32.lacking("cuda") and not KVDtype.BF16.lacking("cpu")
