"""What every training run does alike: an update at a rate, snapshots to go on from, and what is
kept of where it ran."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch.optim import Optimizer

SNAPSHOT = "snapshot.pt"


def update(optimisers: Sequence[Optimizer], rate: float) -> None:
    """Moves the weights by their gradients, which are gone afterwards."""
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            group["lr"] = rate
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)


def save_snapshot(
    folder: Path, recipe: Any, optimisers: Sequence[Optimizer], state: Mapping[str, Any]
) -> None:
    """Keeps everything that a resumed run needs; the file appears whole or not at all."""
    told = [optimiser.state_dict() for optimiser in optimisers]
    partial = folder / "snapshot.partial"
    torch.save({**state, "recipe": asdict(recipe), "optimisers": told}, partial)
    partial.replace(folder / SNAPSHOT)


def load_snapshot(
    folder: Path, recipe: Any, optimisers: Sequence[Optimizer]
) -> dict[str, Any] | None:
    """What `save_snapshot` kept, the optimisers set to it; None where nothing is. SystemExit where
    it is of another recipe."""
    path = folder / SNAPSHOT
    if not path.exists():
        return None
    state: dict[str, Any] = torch.load(path, weights_only=True)
    if state["recipe"] != asdict(recipe):
        raise SystemExit(
            f"{path} is of another recipe: move it away, or name another --work folder"
        )
    for optimiser, held in zip(optimisers, state["optimisers"], strict=True):
        optimiser.load_state_dict(held)
    return state


def record(recipe: Any, seconds: float) -> dict[str, object]:
    """What a model card says about any run: how it was done, how long it took, and where."""
    return {
        "recipe": asdict(recipe),
        "minutes": round(seconds / 60, 1),
        "threads": torch.get_num_threads(),
        "machine": platform.machine(),
        "torch": torch.__version__,
        "date": datetime.now(UTC).date().isoformat(),
    }
