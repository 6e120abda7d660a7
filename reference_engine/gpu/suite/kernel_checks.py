"""Every kernel against its plain-torch twin in float64, on drawn shapes; slots that nobody owns
hold NaN."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from reference_engine.gpu.suite.card import Row, Section, SectionOutcome
from reference_engine.gpu.suite.engines import DeviceSizes
from reference_engine.kernels import KERNELS, TWINS, Paging

LIMITS = {torch.float32: 1e-5, torch.bfloat16: 1e-2}
"""Largest error, by norm over the reference's norm."""
HEADS = ((1, 1), (4, 4), (12, 4), (32, 8), (14, 2), (20, 1))


def check(target: DeviceSizes) -> Section:
    """One row a kernel, dtype and draw; it fails when an error is over its limit."""
    if target.device.type != "cuda" and not target.interpreted:
        return Section(
            "kernels", SectionOutcome.SKIPPED, "kernels run on a GPU, or with TRITON_INTERPRET=1"
        )
    rows = []
    for dtype in LIMITS:
        for index in range(1 if target.dry else 12):
            for name, case in CASES.items():
                rng = target.random(name, str(dtype), index)
                torch.manual_seed(rng.randrange(2**31))
                error = max(case(target, rng, dtype))
                right = error < LIMITS[dtype]  # NaN is not
                row: Row = {"kernel": name, "dtype": str(dtype)[6:], "error": error, "right": right}
                rows.append(row)
    wrong = [row for row in rows if not row["right"]]
    message = (
        f"{len(wrong)} of {len(rows)} draws are wrong, first {wrong[0]}"
        if wrong
        else f"{len(rows)} draws"
    )
    return Section(
        "kernels", SectionOutcome.FAIL if wrong else SectionOutcome.PASS, message, tuple(rows)
    )


def _error(got: Tensor, expected: Tensor) -> float:
    wide = expected.double()
    return float((got.double() - wide).norm() / wide.norm().clamp(min=1e-30))


def _draw(target: DeviceSizes, dtype: torch.dtype, *shape: int) -> Tensor:
    return torch.randn(shape, device=target.device).to(dtype)


def _norm(target: DeviceSizes, rng: random.Random, dtype: torch.dtype) -> Iterator[float]:
    rows, width = rng.randint(1, 5), rng.choice((16, 80) if target.dry else (256, 1000, 4096))
    x, rest, weight = (
        _draw(target, dtype, rows, width),
        _draw(target, dtype, rows, width),
        _draw(target, dtype, width),
    )
    total = rest.double() + x.double()
    got = KERNELS["add_rms_norm"](x, rest, weight, 1e-5)
    yield _error(rest, total)
    yield _error(got, TWINS["add_rms_norm"](rest.double(), None, weight.double(), 1e-5))


def _silu(target: DeviceSizes, rng: random.Random, dtype: torch.dtype) -> Iterator[float]:
    both = (
        _draw(target, dtype, rng.randint(1, 5), 2 * rng.randint(3, 50 if target.dry else 9000)) * 4
    )
    yield _error(KERNELS["silu_mul"](both), TWINS["silu_mul"](both.double()))


def _greedy(target: DeviceSizes, rng: random.Random, dtype: torch.dtype) -> Iterator[float]:
    shape = (rng.randint(1, 4), rng.randint(1, 9000 if target.dry else 130_000))
    logits = torch.randint(0, 7, shape, device=target.device).to(dtype)
    right = torch.equal(KERNELS["greedy"](logits), TWINS["greedy"](logits))
    yield 0.0 if right else math.inf


def _rope(target: DeviceSizes, rng: random.Random, dtype: torch.dtype) -> Iterator[float]:
    (heads, kv_heads), width, rows = rng.choice(HEADS), rng.choice((16, 64, 128)), rng.randint(1, 6)
    angles = torch.outer(torch.arange(64.0), 1e4 ** (-torch.arange(0, width, 2) / width)).to(
        target.device
    )
    qkv = _draw(target, dtype, rows, (heads + 2 * kv_heads) * width)
    keys, values = torch.full(
        (2, 20, kv_heads, width), math.nan, device=target.device, dtype=dtype
    ).unbind(0)
    slots = torch.tensor(rng.sample(range(20), rows), device=target.device, dtype=torch.int32)
    places = torch.randint(0, 64, (rows,), device=target.device, dtype=torch.int32)
    wide = [tensor.double() for tensor in (qkv, keys, values)]
    KERNELS["rope_store"](qkv, places, slots, angles.cos(), angles.sin(), keys, values)
    TWINS["rope_store"](wide[0], places, slots, angles.cos(), angles.sin(), wide[1], wide[2])
    at, queries = slots.long(), heads * width
    yield _error(qkv[:, :queries], wide[0][:, :queries])
    yield _error(keys[at], wide[1][at])
    yield _error(values[at], wide[2][at])


def _attention(
    name: str, most_rows: int, tree: bool = False
) -> Callable[[DeviceSizes, random.Random, torch.dtype], Any]:
    def case(target: DeviceSizes, rng: random.Random, dtype: torch.dtype) -> Iterator[float]:
        (heads, kv_heads), width = (
            rng.choice(HEADS),
            rng.choice((16, 64) if target.dry else (64, 128)),
        )
        size, batch = rng.choice((1, 7, 16, 32)), rng.randint(1, 3)
        longest = 40 if target.dry else 1500
        rows = [rng.randint(min(2, most_rows), most_rows) for _ in range(batch)]
        lengths = [count + rng.randint(0, longest) for count in rows]
        paging, slots = _paging(target, rng, rows, lengths, size, tree)
        pool = torch.full((slots, 2, kv_heads, width), math.nan, device=target.device, dtype=dtype)
        for index, length in enumerate(lengths):
            place = torch.arange(length, device=target.device)
            at = paging.tables[index, place // size].long() * size + place % size
            pool[at] = _draw(target, dtype, length, 2, kv_heads, width)
        q = _draw(target, dtype, sum(rows), heads, width)
        options = {"block_size": size, "scale": width**-0.5}
        wide = TWINS[name](q.double(), pool[:, 0].double(), pool[:, 1].double(), paging, **options)
        for splits in (1, 3):
            yield _error(
                KERNELS[name](q, pool[:, 0], pool[:, 1], paging, splits=splits, **options), wide
            )

    return case


def _paging(
    target: DeviceSizes,
    rng: random.Random,
    rows: list[int],
    lengths: list[int],
    size: int,
    tree: bool,
) -> tuple[Paging, int]:
    """Tables of scattered blocks, and how many slots the pool needs."""
    columns = max(-(-length // size) for length in lengths) + 1
    blocks = list(range(1, len(rows) * columns + 1))
    rng.shuffle(blocks)

    def whole(numbers: list[int]) -> Tensor:
        return torch.tensor(numbers, dtype=torch.int32, device=target.device)

    starts = whole([sum(rows[:index]) for index in range(len(rows) + 1)])
    nodes = min(rows) if tree else 0
    mask = None
    if tree:
        parents = [rng.randrange(node) if node else -1 for node in range(nodes)]
        mask = torch.eye(nodes, dtype=torch.bool)
        for node in range(1, nodes):
            mask[node] |= mask[parents[node]]
        mask = mask.to(target.device)
    trees = whole([nodes] * len(rows)) if tree else None
    tables = whole(blocks).view(len(rows), columns)
    return Paging(starts, whole(lengths), whole(list(range(len(rows)))), tables, trees, mask), (
        len(blocks) + 1
    ) * size


CASES: dict[str, Callable[[DeviceSizes, random.Random, torch.dtype], Any]] = {
    "add_rms_norm": _norm,
    "silu_mul": _silu,
    "greedy": _greedy,
    "rope_store": _rope,
    "decode_attention": _attention("decode_attention", 1),
    "prefill_attention": _attention("prefill_attention", 40),
    "prefill_attention, tree": _attention("prefill_attention", 16, tree=True),
}
