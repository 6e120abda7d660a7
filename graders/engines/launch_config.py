"""From a trace to what every engine is started with: model folder, sizes, threads."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from graders.engines.catalogue import EngineKind
from graders.engines.engine_protocol import LaunchConfig
from graders.engines.loaded import DTYPE, Checkpoint
from graders.workloads import Trace
from reference_engine.drafting import GUESSES
from reference_engine.eagle import GROWTH
from reference_engine.model import Model
from reference_engine.parts import SLOTS, part_files

TOKENS_A_STEP = {"": 1, "plain": 1, "medusa": 5, "draft": 1 + GUESSES, "eagle": 1 + GROWTH["depth"]}
"""By who guesses: one more than the guesses that a step can confirm at most. The waiter has four heads."""
SOLUTIONS = Path(__file__).resolve().parents[2] / "solutions"


def job(
    kind: EngineKind,
    given: Checkpoint,
    model: Model,
    trace: Trace,
    *,
    threads: int,
    engines: int,
    device: str,
    arithmetic: str = DTYPE,
    kv_dtype: str = DTYPE,
) -> LaunchConfig:
    """What `kind` is told so that it has what every other engine has for this trace, and no more."""
    cores = tuple(sorted(os.sched_getaffinity(0)))
    loaded = (
        given.loaded if given.loaded.dtype in kind.dtypes else replace(given.loaded, dtype=DTYPE)
    )
    common = LaunchConfig(
        model=str(given.folder),
        max_len=min(model.config.positions, trace.kv_tokens),
        kv_tokens=trace.kv_tokens,
        max_seqs=trace.max_seqs,
        loaded=loaded,
        block_size=trace.block_size,
        device=device,
        threads=threads,
        cores=cores[:threads],
        prefix_cache=trace.cached,
        memory_share=0.85 / max(engines, 1),
        arithmetic=arithmetic,
        kv_dtype=kv_dtype,
    )
    if kind.name != "reference" and not kind.drafter:
        return common
    guessing = kind.drafter or ("medusa" if speculates(model, trace) else "")
    return replace(
        common,
        parts=parts(SOLUTIONS),
        speculate=guessing,
        always=bool(kind.drafter),
        watermark=trace.watermark,
    )


def parts(folder: Path) -> Mapping[str, str]:
    """The files of the four parts in a folder laid out like `solutions`. Raises ValueError when one
    is lacking."""
    found = part_files(folder)
    lacking = [slot for slot in SLOTS if slot not in found]
    if lacking:
        raise ValueError(f"{folder} has no {', '.join(lacking)}")
    return {slot: str(path) for slot, path in found.items()}


def speculates(model: Model, trace: Trace) -> bool:
    """Our engine guesses where that is what the workload is about, and the model has heads."""
    return trace.batch > 0 and model.name.partition("@")[0].partition(":")[0] == "waiter"
