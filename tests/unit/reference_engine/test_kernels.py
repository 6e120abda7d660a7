"""Every kernel in Triton's interpreter against plain torch in float64, over shapes, block sizes,
poison and padding."""

from __future__ import annotations

import os

os.environ.setdefault("TRITON_INTERPRET", "1")

import math
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor

from reference_engine import kernels
from reference_engine.kernels import KERNELS, TWINS, Paging, runtime
from reference_engine.kernels.split import MAX_SPLITS, choose_splits

pytestmark = pytest.mark.skipif(bool(runtime.MISSING), reason=runtime.MISSING)
TOLERANCE = 2e-6
COARSE = 2e-2


def off(got: Tensor, expected: Tensor) -> float:
    """The error's norm over the reference's; NaN anywhere makes it NaN, which passes no comparison."""
    wide = expected.double()
    return float((got.double() - wide).norm() / wide.norm().clamp(min=1e-30))


# ---------------------------------------------------------------- row-wise kernels


@pytest.mark.parametrize(("rows", "width"), [(1, 16), (3, 80), (2, 1000), (0, 16)])
@pytest.mark.parametrize("residual", [True, False])
def test_norm_adds_and_scales(rows: int, width: int, residual: bool) -> None:
    torch.manual_seed(width)
    x, weight = torch.randn(rows, width), torch.randn(width)
    rest = torch.randn(rows, width) if residual else None
    expected_rest = rest.double() if rest is not None else None
    expected = TWINS["add_rms_norm"](x.double(), expected_rest, weight.double(), 1e-5)
    assert off(KERNELS["add_rms_norm"](x, rest, weight, 1e-5), expected) < TOLERANCE
    if rest is not None and expected_rest is not None:
        assert off(rest, expected_rest) < TOLERANCE


def test_norm_stores_the_residual_in_the_tensors_dtype_before_it_norms() -> None:
    x, rest = torch.randn(2, 64).bfloat16(), torch.randn(2, 64).bfloat16()
    weight, total = torch.ones(64).bfloat16(), rest + x
    got = KERNELS["add_rms_norm"](x, rest, weight, 1e-5)
    assert off(rest, total) < COARSE
    assert off(got, TWINS["add_rms_norm"](rest.double(), None, weight.double(), 1e-5)) < COARSE


def test_norm_of_a_zero_row_is_zero_and_may_overwrite_its_input() -> None:
    x = torch.zeros(1, 32)
    out = KERNELS["add_rms_norm"](x, None, torch.ones(32), 1e-5, out=x)
    assert out is x and torch.equal(x, torch.zeros(1, 32))


@pytest.mark.parametrize(("rows", "width"), [(1, 3), (4, 74), (2, 1500), (0, 8)])
def test_silu_mul(rows: int, width: int) -> None:
    gate_up = torch.randn(rows, 2 * width) * 8
    assert off(KERNELS["silu_mul"](gate_up), TWINS["silu_mul"](gate_up.double())) < TOLERANCE


@pytest.mark.filterwarnings("ignore:overflow encountered in exp")
def test_silu_mul_of_large_numbers_is_finite() -> None:
    gate_up = torch.tensor([[-1e4, 1e4, 2.0, 2.0]])
    assert KERNELS["silu_mul"](gate_up).tolist() == [[0.0, 2e4]]


@pytest.mark.parametrize("vocabulary", [1, 7, 4096, 4097, 9000])
def test_greedy_takes_the_lowest_of_equal_logits(vocabulary: int) -> None:
    torch.manual_seed(vocabulary)
    logits = torch.randint(0, 3, (3, vocabulary)).float()
    expected = [row.index(max(row)) for row in logits.tolist()]
    assert KERNELS["greedy"](logits).tolist() == expected == TWINS["greedy"](logits).tolist()


def test_greedy_finds_the_last_id_and_survives_rows_without_a_number() -> None:
    logits = torch.full((4, 5000), float("-inf"))
    logits[0, 4999] = -1e30
    logits[1, 4500] = math.nan
    logits[2] = math.nan
    logits[3, 17], logits[3, 4097] = math.nan, 2.0
    assert (
        KERNELS["greedy"](logits).tolist() == [4999, 0, 0, 4097] == TWINS["greedy"](logits).tolist()
    )


def test_greedy_reads_rows_of_a_wider_buffer() -> None:
    buffer = torch.randn(4, 100)
    assert torch.equal(KERNELS["greedy"](buffer[:, :30]), buffer[:, :30].argmax(-1))


# ---------------------------------------------------------------- tokens and tables


def test_embedding_reads_ids_of_the_host_and_of_the_step_before() -> None:
    table, said = torch.randn(9, 20), torch.tensor([8, 3])
    tokens = torch.tensor([0, -1, 5, -2], dtype=torch.int32)
    for embed in (KERNELS["embed"], TWINS["embed"]):
        assert torch.equal(embed(table, tokens, said), table[[0, 8, 5, 3]])


@pytest.mark.parametrize("count", [0, 1, 200])
def test_patch_writes_the_named_cells_alone(count: int) -> None:
    cells = torch.zeros(300, dtype=torch.int32)
    where = torch.randperm(300)[: count + 2].int()
    where[0] = -1
    value = torch.arange(1, count + 3, dtype=torch.int32)
    expected = cells.clone()
    expected[where[1:].long()] = value[1:]
    for patch in (KERNELS["patch"], TWINS["patch"]):
        got = cells.clone()
        patch(got, where, value)
        assert torch.equal(got, expected)


# ---------------------------------------------------------------- RoPE and KV store


@dataclass
class Turning:
    """The tensors of one `rope_store` call."""

    qkv: Tensor
    positions: Tensor
    slots: Tensor
    cos: Tensor
    sin: Tensor
    keys: Tensor
    values: Tensor

    def arguments(self) -> tuple[Tensor, ...]:
        return (self.qkv, self.positions, self.slots, self.cos, self.sin, self.keys, self.values)

    def wide(self) -> Turning:
        return Turning(
            *(t.double() if t.is_floating_point() else t.clone() for t in self.arguments())
        )


def turning(heads: int, kv_heads: int, width: int, slots: list[int]) -> Turning:
    torch.manual_seed(heads * width)
    angles = torch.outer(torch.arange(50.0), 100.0 ** (-torch.arange(0, width, 2) / width))
    pool = torch.full((12, 2, kv_heads, width), math.nan)
    return Turning(
        qkv=torch.randn(len(slots), (heads + 2 * kv_heads) * width),
        positions=torch.randint(0, 50, (len(slots),), dtype=torch.int32),
        slots=torch.tensor(slots, dtype=torch.int32),
        cos=angles.cos(),
        sin=angles.sin(),
        keys=pool[:, 0],
        values=pool[:, 1],
    )


@pytest.mark.parametrize(
    ("heads", "kv_heads", "width"), [(1, 1, 16), (4, 2, 32), (6, 2, 20), (9, 3, 16)]
)
@pytest.mark.parametrize("normed", [False, True])
def test_rope_turns_queries_and_stores_keys_and_values(
    heads: int, kv_heads: int, width: int, normed: bool
) -> None:
    got = turning(heads, kv_heads, width, [3, 11, 7])
    expected = got.wide()
    norms = {"q_norm": torch.randn(width), "k_norm": torch.randn(width)} if normed else {}
    KERNELS["rope_store"](*got.arguments(), **norms)
    TWINS["rope_store"](
        *expected.arguments(), **{name: norm.double() for name, norm in norms.items()}
    )
    queries = heads * width
    assert off(got.qkv[:, :queries], expected.qkv[:, :queries]) < TOLERANCE
    assert off(got.keys[[3, 11, 7]], expected.keys[[3, 11, 7]]) < TOLERANCE
    assert torch.equal(got.values[[3, 11, 7]].double(), expected.values[[3, 11, 7]])


def test_rope_matches_complex_multiplication() -> None:
    case = turning(2, 1, 16, [5])
    query = case.qkv[0, :32].view(2, 16).double()
    turn = torch.complex(*(t[int(case.positions[0])].double() for t in (case.cos, case.sin)))
    expected = torch.complex(query[:, :8], query[:, 8:]) * turn
    KERNELS["rope_store"](*case.arguments())
    assert (
        off(case.qkv[0, :32].view(2, 16), torch.cat((expected.real, expected.imag), -1)) < TOLERANCE
    )


def test_rope_stores_nothing_elsewhere_and_nothing_at_a_negative_slot() -> None:
    case = turning(2, 1, 16, [4, -1])
    KERNELS["rope_store"](*case.arguments())
    written = ~case.keys.isnan().all(-1).all(-1)
    assert written.nonzero().flatten().tolist() == [4]
    assert (~case.values.isnan().all(-1).all(-1)).nonzero().flatten().tolist() == [4]
    assert not case.qkv.isnan().any()


# ---------------------------------------------------------------- attention


@dataclass
class Case:
    """An attention call over a pool in which every slot that nobody owns is NaN."""

    q: Tensor
    keys: Tensor
    values: Tensor
    paging: Paging
    block_size: int

    def run(self, name: str, **options: object) -> Tensor:
        out = torch.full(self.q.shape, 7.0)
        scale = self.q.shape[2] ** -0.5
        return KERNELS[name](
            self.q,
            self.keys,
            self.values,
            self.paging,
            block_size=self.block_size,
            scale=scale,
            out=out,
            **options,
        )

    def expected(self, name: str) -> Tensor:
        out = torch.full(self.q.shape, 7.0, dtype=torch.float64)
        q, keys, values = self.q.double(), self.keys.double(), self.values.double()
        scale = self.q.shape[2] ** -0.5
        return TWINS[name](
            q, keys, values, self.paging, block_size=self.block_size, scale=scale, out=out
        )


def case(
    sequences: list[tuple[int, int]],
    *,
    block_size: int = 4,
    heads: int = 4,
    kv_heads: int = 2,
    width: int = 16,
    trees: list[int] | None = None,
    mask: Tensor | None = None,
    padding: int = 0,
) -> Case:
    """`sequences`: (rows, tokens of KV) of each. `padding`: rows at the end that belong to nobody."""
    torch.manual_seed(sum(rows * 31 + tokens for rows, tokens in sequences) + width)
    columns = max(1, max(-(-tokens // block_size) for _, tokens in sequences)) + 1
    blocks = torch.randperm(len(sequences) * columns) + 1
    tables = torch.full((len(sequences), columns), 10**6, dtype=torch.int32)
    slots = (len(sequences) * columns + 1) * block_size
    pool = torch.full((slots, 2, kv_heads, width), math.nan)
    for index, (_, tokens) in enumerate(sequences):
        held = -(-tokens // block_size)
        tables[index, :held] = blocks[index * columns : index * columns + held].int()
        for token in range(tokens):
            slot = int(tables[index, token // block_size]) * block_size + token % block_size
            pool[slot] = torch.randn(2, kv_heads, width)
    starts = torch.tensor([0, *(rows for rows, _ in sequences)]).cumsum(0).int()
    lengths = torch.tensor([tokens for _, tokens in sequences], dtype=torch.int32)
    q = torch.randn(int(starts[-1]) + padding, heads, width)
    q[int(starts[-1]) :] = math.nan
    nodes = None if trees is None else torch.tensor(trees, dtype=torch.int32)
    seats = torch.randperm(len(sequences) + 2)[: len(sequences)].int()
    seated = torch.full((len(sequences) + 2, columns), 10**6, dtype=torch.int32)
    seated[seats] = tables
    return Case(
        q, pool[:, 0], pool[:, 1], Paging(starts, lengths, seats, seated, nodes, mask), block_size
    )


@pytest.mark.parametrize("block_size", [1, 3, 16, 32])
@pytest.mark.parametrize("splits", [1, 3])
def test_decode_over_block_sizes_with_empty_full_and_partial_blocks(
    block_size: int, splits: int
) -> None:
    lengths = [1, block_size, block_size + 1, 2 * block_size, 37]
    one = case([(1, length) for length in lengths], block_size=block_size)
    assert (
        off(one.run("decode_attention", splits=splits), one.expected("decode_attention"))
        < TOLERANCE
    )


@pytest.mark.parametrize(
    ("heads", "kv_heads", "width"),
    [(1, 1, 16), (3, 3, 16), (6, 2, 20), (8, 1, 32), (14, 2, 64), (20, 1, 16)],
)
@pytest.mark.parametrize("splits", [1, 2])
def test_decode_over_group_sizes_and_widths(
    heads: int, kv_heads: int, width: int, splits: int
) -> None:
    one = case([(1, 19), (1, 5)], heads=heads, kv_heads=kv_heads, width=width)
    assert (
        off(one.run("decode_attention", splits=splits), one.expected("decode_attention"))
        < TOLERANCE
    )


def test_the_twin_agrees_with_torchs_own_attention() -> None:
    one = case([(1, 9)], block_size=3, heads=4, kv_heads=2)
    slots = (one.paging.tables[one.paging.seats[0], :3, None] * 3 + torch.arange(3)).flatten()
    key, value = (
        pool[slots].repeat_interleave(2, 1).transpose(0, 1) for pool in (one.keys, one.values)
    )
    expected = torch.nn.functional.scaled_dot_product_attention(one.q[0][:, None], key, value)[:, 0]
    assert off(one.expected("decode_attention")[0], expected) < TOLERANCE


@pytest.mark.parametrize("splits", [1, 2])
def test_padding_rows_come_out_as_zeros(splits: int) -> None:
    one = case([(1, 6), (1, 0), (1, 0)])
    got = one.run("decode_attention", splits=splits)
    assert off(got, one.expected("decode_attention")) < TOLERANCE
    assert not got[1:].any()


def test_more_splits_than_tiles_changes_nothing() -> None:
    one = case([(1, 40), (1, 1)])
    assert off(one.run("decode_attention", splits=13), one.expected("decode_attention")) < TOLERANCE


def test_scores_far_apart_neither_overflow_nor_vanish() -> None:
    one = case([(1, 40)])
    one.q *= 300
    for splits in (1, 3):
        assert (
            off(one.run("decode_attention", splits=splits), one.expected("decode_attention")) < 1e-4
        )


def test_decode_in_bf16_is_as_good_as_bf16_is() -> None:
    one = case([(1, 30), (1, 3)])
    low = Case(
        one.q.bfloat16(), one.keys.bfloat16(), one.values.bfloat16(), one.paging, one.block_size
    )
    scale = {"block_size": 4, "scale": 0.25}
    got = KERNELS["decode_attention"](low.q, low.keys, low.values, low.paging, splits=2, **scale)
    assert got.dtype == torch.bfloat16
    assert off(got, low.expected("decode_attention")) < COARSE


def test_queries_may_be_a_view_into_the_packed_projection() -> None:
    one = case([(1, 7), (1, 21)])
    packed = torch.randn(2, 4 + 2 * 2, 16)
    packed[:, :4] = one.q
    view = replace(one, q=packed[:, :4])
    assert not view.q.is_contiguous()
    assert off(view.run("decode_attention", splits=2), one.expected("decode_attention")) < TOLERANCE


@pytest.mark.parametrize("block_size", [1, 3, 16])
@pytest.mark.parametrize("splits", [1, 2])
def test_prefill_chunks_from_the_start_and_in_the_middle(block_size: int, splits: int) -> None:
    one = case([(5, 5), (2, 30), (17, 21)], block_size=block_size)
    assert (
        off(one.run("prefill_attention", splits=splits), one.expected("prefill_attention"))
        < TOLERANCE
    )


@pytest.mark.parametrize(
    ("heads", "kv_heads", "width"), [(2, 2, 16), (6, 2, 20), (7, 1, 32), (20, 1, 16)]
)
def test_prefill_over_group_sizes_and_widths(heads: int, kv_heads: int, width: int) -> None:
    one = case([(9, 14), (3, 20), (2, 2)], heads=heads, kv_heads=kv_heads, width=width)
    assert off(one.run("prefill_attention"), one.expected("prefill_attention")) < TOLERANCE


@pytest.mark.parametrize("splits", [1, 3])
def test_a_mixed_step_is_done_by_the_two_kernels_together(splits: int) -> None:
    """One metadata for both: each leaves the other's rows, and rows of nobody, as they were."""
    one = case([(1, 18), (6, 20), (1, 0), (1, 5), (3, 0), (20, 33)], padding=3)
    decoded = one.run("decode_attention", splits=splits)
    assert torch.equal(decoded[1:7], torch.full_like(decoded[1:7], 7.0))
    prefilled = one.run("prefill_attention", splits=splits)
    assert torch.equal(prefilled[0], torch.full_like(prefilled[0], 7.0))
    for got, name in ((decoded, "decode_attention"), (prefilled, "prefill_attention")):
        assert off(got, one.expected(name)) < TOLERANCE
        assert torch.equal(got[-3:], torch.full_like(got[-3:], 7.0))


TREE = torch.tensor(
    [[1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [1, 0, 1, 0, 0], [1, 1, 0, 1, 0], [1, 0, 1, 0, 1]]
).bool()


@pytest.mark.parametrize("splits", [1, 3])
def test_a_node_sees_what_came_before_the_tree_and_its_ancestors(splits: int) -> None:
    """Trees, a plain chunk, a chunk that ends in a tree and a single row, in one step."""
    one = case([(5, 25), (4, 9), (8, 20), (1, 7), (5, 5)], trees=[5, 0, 5, 0, 5], mask=TREE)
    got = one.run("prefill_attention", splits=splits)
    assert off(got, one.expected("prefill_attention")) < TOLERANCE
    path = case([(5, 25), (4, 9), (8, 20), (1, 7), (5, 5)])
    assert off(got[5:9], path.expected("prefill_attention")[5:9]) < TOLERANCE


def test_siblings_in_a_tree_do_not_matter_to_each_other() -> None:
    one = case([(5, 25)], trees=[5], mask=TREE)
    before = one.run("prefill_attention")
    slot = int(one.paging.tables[one.paging.seats[0], 22 // 4]) * 4 + 22 % 4  # node 2
    one.keys[slot] += 1.0
    after = one.run("prefill_attention")
    changed = [node for node in range(5) if not torch.equal(before[node], after[node])]
    assert changed == [2, 4]


# ---------------------------------------------------------------- choosing and refusing


def test_splits_fill_the_device_and_never_outnumber_the_tiles() -> None:
    assert choose_splits(programs=1000, max_length=4096, tile=64, multiprocessors=132) == 1
    assert choose_splits(programs=8, max_length=4096, tile=64, multiprocessors=132) == 33
    assert choose_splits(programs=8, max_length=100, tile=64, multiprocessors=132) == 2
    assert choose_splits(programs=1, max_length=10**6, tile=64, multiprocessors=132) == MAX_SPLITS


def test_shapes_that_do_not_fit_are_refused_in_words() -> None:
    one = case([(1, 7)], heads=4, kv_heads=2)
    with pytest.raises(ValueError, match="multiple of 2"):
        replace(one, q=torch.randn(1, 3, 16)).run("decode_attention")
    with pytest.raises(ValueError, match="contiguous"):
        KERNELS["add_rms_norm"](torch.randn(4, 4).T, None, torch.ones(4), 1e-5)
    with pytest.raises(ValueError, match=r"\[T, 2f\]"):
        KERNELS["silu_mul"](torch.randn(2, 3))
    with pytest.raises(ValueError, match="V ≥ 1"):
        KERNELS["greedy"](torch.randn(2, 0))


def test_a_cpu_gets_the_twins_and_a_reason() -> None:
    chosen = kernels.ops("cpu")
    assert chosen.name == "torch" and not chosen.capturable and chosen.why
    assert kernels.ops("cpu", interpret=True).greedy is KERNELS["greedy"]
