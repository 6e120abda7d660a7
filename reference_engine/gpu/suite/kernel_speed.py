"""How near each kernel comes to its floor: bytes that must move over the bandwidth of a copy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from reference_engine.gpu.suite.card import Row, Section, SectionOutcome
from reference_engine.gpu.suite.clock import device_seconds
from reference_engine.gpu.suite.engines import DeviceSizes
from reference_engine.kernels import Ops, Paging, ops
from reference_engine.kernels.runtime import Config
from reference_engine.llama.config import LlamaConfig
from reference_engine.roofline import Roof
from reference_engine.roofline import Work as Least

CONTEXT = 1024
COPIES = 8
"""Input sets that small kernels take in turn, so that the cache does not serve them."""
NOTE = "of_floor: share of the floor reached; cached: above it, as a cache served the kernel"
TUNED = tuple(Config(16, tile, 4, stages) for tile in (32, 64, 128) for stages in (2, 3, 4))
"""Cuts of the decode kernel that are tried beside the built-in one."""


@dataclass(frozen=True, slots=True)
class TimedCall:
    """A call to time: what it moves and computes, and the call with the index of its input set."""

    kernel: str
    what: str
    moved: float
    operations: float
    call: Callable[[int], object]


def measure(target: DeviceSizes, roof: Roof) -> Section:
    """One row a kernel, model and size."""
    rows: list[Row] = []
    for name, config in target.shapes.items():
        for work in _all(target, config):
            if target.left < 0:
                return Section("kernel speed", SectionOutcome.SKIPPED, "no time left", tuple(rows))
            taken = device_seconds(work.call, target.device, repeats=target.repeats)
            floor = roof.ceilings.seconds(Least(work.operations, work.moved))
            row: Row = {"model": name, "kernel": work.kernel, "size": work.what, "us": taken * 1e6}
            rows.append(
                row
                | {
                    "floor_us": min(floor, taken) * 1e6,
                    "of_floor": min(1.0, floor / taken),
                    **_above(floor, taken),
                }
            )
    return Section("kernel speed", SectionOutcome.PASS, NOTE, tuple(rows))


def _above(floor: float, taken: float) -> Row:
    """That a kernel was faster than memory: its input lay in the cache, so its floor is what it
    took."""
    return {"cached": True} if floor > taken else {}


def tune(target: DeviceSizes, roof: Roof) -> Section:
    """The decode kernel's cuts and splits tried out at two batch sizes of the largest model."""
    if target.dry or not ops(target.device).capturable:
        return Section(
            "tuning", SectionOutcome.SKIPPED, "there are no compiled kernels to tune here"
        )
    config, rows = list(target.shapes.values())[-1], list[Row]()
    for batch in (1, 16, 64):
        pools, paging, query = _decode(target, config, batch)
        floor = roof.ceilings.seconds(Least(0.0, _kv_bytes(config, batch, query.element_size())))
        for cut in (None, *TUNED):
            for splits in (None, 1, 2, 4, 8, 16):
                if target.left < 0:
                    return Section("tuning", SectionOutcome.SKIPPED, "no time left", tuple(rows))
                taken = _trial(target, pools, paging, query, cut, splits)
                row: Row = {
                    "batch": batch,
                    "tile": cut.tile if cut else None,
                    "stages": cut.stages if cut else None,
                }
                if taken is not None:
                    rows.append(
                        row
                        | {"splits": splits, "us": taken * 1e6, "of_floor": min(1.0, floor / taken)}
                    )
    rows.sort(key=lambda row: (float(row["batch"] or 0), float(row["us"] or 0)))
    return Section(
        "tuning",
        SectionOutcome.PASS,
        "tile, stages, splits: null is the built-in choice",
        tuple(rows),
    )


def _trial(
    target: DeviceSizes,
    pools: tuple[Tensor, Tensor],
    paging: Paging,
    query: Tensor,
    cut: Config | None,
    splits: int | None,
) -> float | None:
    """Seconds of the decode kernel cut in one way; None where that cannot run (too little shared
    memory, say)."""
    chosen = ops(target.device)
    options = {"block_size": 16, "scale": 0.1, "config": cut, "splits": splits}
    try:
        return device_seconds(
            lambda _: chosen.decode_attention(query, *pools, paging, **options),
            target.device,
            repeats=3,
        )
    except RuntimeError as error:
        target.notes.append(f"tuning, {cut}, {splits} splits: {str(error).splitlines()[0]}")
        return None


def _all(target: DeviceSizes, config: LlamaConfig) -> Iterator[TimedCall]:
    chosen = ops(target.device)
    for batch in target.pick((1, 16, 64, 256), (2,)):
        yield _decode_work(target, config, chosen, batch)
    for rows in target.pick((1, 64, 2048), (3,)):
        yield from _row_works(target, config, chosen, rows)
    for batch in target.pick((1, 64), (2,)):
        yield _greedy_work(target, config, chosen, batch)
    yield _prefill_work(target, config, chosen, *((16, 2) if target.dry else (1024, 4)))


def _greedy_work(target: DeviceSizes, config: LlamaConfig, chosen: Ops, batch: int) -> TimedCall:
    logits = [_draw(target, batch, config.vocab) for _ in range(COPIES)]
    return TimedCall(
        "greedy", f"B {batch}", logits[0].nbytes, 0, lambda i: chosen.greedy(logits[i % COPIES])
    )


def _row_works(
    target: DeviceSizes, config: LlamaConfig, chosen: Ops, rows: int
) -> Iterator[TimedCall]:
    """The kernels that go through rows: norm, SiLU·mul, RoPE."""
    sets = 1 if target.dry else COPIES
    x, rest = (
        [_draw(target, rows, config.width) for _ in range(sets)],
        _draw(target, rows, config.width),
    )
    weight, both = (
        _draw(target, config.width),
        [_draw(target, rows, 2 * config.inner) for _ in range(sets)],
    )
    packed = [_draw(target, rows, config.queries + 2 * config.keys) for _ in range(sets)]
    keys, values = _draw(target, 2, rows, config.kv_heads, config.head_width).unbind(0)
    turn = torch.ones(rows, config.head_width // 2, device=target.device)
    places = torch.arange(rows, device=target.device, dtype=torch.int32)
    yield TimedCall(
        "add_rms_norm",
        f"T {rows}",
        4 * rest.nbytes,
        0,
        lambda i: chosen.add_rms_norm(x[i % sets], rest, weight, 1e-5),
    )
    yield TimedCall(
        "silu_mul", f"T {rows}", 1.5 * both[0].nbytes, 0, lambda i: chosen.silu_mul(both[i % sets])
    )
    yield TimedCall(
        "rope_store",
        f"T {rows}",
        2 * packed[0].nbytes,
        0,
        lambda i: chosen.rope_store(packed[i % sets], places, places, turn, turn, keys, values),
    )


def _decode_work(target: DeviceSizes, config: LlamaConfig, chosen: Ops, batch: int) -> TimedCall:
    pools, paging, query = _decode(target, config, batch)
    keys, values = pools
    moved = _kv_bytes(config, batch, query.element_size(), 16 if target.dry else CONTEXT)
    return TimedCall(
        "decode_attention",
        f"B {batch}",
        moved,
        0,
        lambda _: chosen.decode_attention(query, keys, values, paging, block_size=16, scale=0.1),
    )


def _decode(
    target: DeviceSizes, config: LlamaConfig, batch: int
) -> tuple[tuple[Tensor, Tensor], Paging, Tensor]:
    """A pool that holds `batch` sequences of the context in scattered blocks, their metadata and
    queries."""
    context = 16 if target.dry else CONTEXT
    columns = context // 16
    keys, values = _draw(
        target, 2, (batch * columns + 1) * 16, config.kv_heads, config.head_width
    ).unbind(0)
    tables = (torch.randperm(batch * columns, device=target.device) + 1).view(batch, columns).int()
    starts = torch.arange(batch + 1, device=target.device, dtype=torch.int32)
    lengths = torch.full((batch,), context, device=target.device, dtype=torch.int32)
    paging = Paging(starts, lengths, starts[:-1].clone(), tables)
    return (keys, values), paging, _draw(target, batch, config.heads, config.head_width)


def _prefill_work(
    target: DeviceSizes, config: LlamaConfig, chosen: Ops, length: int, batch: int
) -> TimedCall:
    """`batch` whole prompts of `length` tokens."""
    (keys, values), paging, _ = _decode(target, config, batch)
    starts = torch.arange(batch + 1, device=target.device, dtype=torch.int32) * length
    whole = Paging(starts, paging.lengths, paging.seats, paging.tables)
    query = _draw(target, batch * length, config.heads, config.head_width)
    pairs = batch * length * (length + 1) / 2
    return TimedCall(
        "prefill_attention",
        f"{batch} x {length}",
        2 * query.nbytes + _kv_bytes(config, batch, query.element_size(), length),
        4 * pairs * config.queries,
        lambda _: chosen.prefill_attention(query, keys, values, whole, block_size=16, scale=0.1),
    )


def _kv_bytes(config: LlamaConfig, batch: int, size: int, context: int = CONTEXT) -> float:
    """Bytes of one layer's keys and values for `batch` sequences."""
    return 2.0 * batch * context * config.keys * size


def _draw(target: DeviceSizes, *shape: int) -> Tensor:
    return torch.randn(shape, device=target.device, dtype=torch.bfloat16)
