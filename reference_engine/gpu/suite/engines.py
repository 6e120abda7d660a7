"""Where the suite runs and how large: a GPU in earnest, or a CPU to see that every line runs
(`--dry`)."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from unittest import mock

import torch

from reference_engine import engine as engine_module
from reference_engine import kernels
from reference_engine.arithmetic import Arithmetic
from reference_engine.gpu.runner import GpuRunner
from reference_engine.kv_dtype import KVDtype
from reference_engine.llama.config import SHAPES, LlamaConfig
from reference_engine.model import Model
from reference_engine.naive import parts as naive_parts
from reference_engine.parts import Parts, load_part, part_files

NANO = LlamaConfig(
    vocab=96, width=32, layers=1, heads=4, kv_heads=2, head_width=16, inner=48, positions=256
)


@dataclass(frozen=True, slots=True)
class DeviceSizes:
    """A device and the sizes that suit it.

    dry: on a CPU, smallest sizes, times mean nothing. deadline: `time.monotonic()` at which new
    work is not begun.
    """

    device: torch.device
    dry: bool
    parts: Parts
    deadline: float
    seed: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def left(self) -> float:
        """Seconds until the deadline."""
        return self.deadline - time.monotonic()

    @property
    def repeats(self) -> int:
        """How often to time something."""
        return 1 if self.dry else 7

    @property
    def shapes(self) -> dict[str, LlamaConfig]:
        """The models whose steps are timed, by name, smallest first."""
        if self.dry:
            return {"nano": NANO}
        return {name: SHAPES[f"llama-{name}"] for name in ("0.1b", "1b", "8b")}

    @property
    def interpreted(self) -> bool:
        """Whether kernels can be run in the interpreter here."""
        return kernels.runtime.INTERPRETED

    def pick(self, earnest: Sequence[int], dry: Sequence[int]) -> Sequence[int]:
        """Sizes for a GPU, or for a dry run."""
        return dry if self.dry else earnest

    def random(self, *salt: object) -> random.Random:
        """Numbers that depend on the suite's seed and `salt` alone."""
        return random.Random(f"{self.seed}/{salt}")

    @contextmanager
    def gpu_engines(self) -> Iterator[None]:
        """Inside, engines use the GPU runner on the CPU too."""
        if self.device.type == "cuda":
            yield
            return

        def make(
            model: Model,
            *,
            num_blocks: int,
            block_size: int,
            seats: int,
            width: int,
            **_: Arithmetic | KVDtype,
        ) -> GpuRunner:
            return GpuRunner(
                model, num_blocks=num_blocks, block_size=block_size, seats=seats, width=width
            )

        with mock.patch.object(engine_module, "make_runner", make):
            yield


def parts_in(folder: Path | None) -> tuple[Parts, str]:
    """The four parts from a folder laid out like `solutions`, and which they are; without one, the
    naive parts."""
    folder = folder or Path(__file__).resolve().parents[3] / "solutions"
    files = part_files(folder)
    if not files:
        return naive_parts(), "naive parts (no solutions at hand)"
    loaded = {slot: load_part(path, slot) for slot, path in files.items()}
    return replace(naive_parts(), **loaded), folder.name
