"""The card: what was run where, with which versions, and what came out. Plain data, written as
JSON."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from reference_engine.kernels import runtime

FORMAT = 1
Row = dict[str, str | int | float | bool | None]


class SectionOutcome(StrEnum):
    """What became of a section."""

    PASS = "pass"
    FAIL = "fail"  # something checked was wrong
    SKIPPED = "skipped"  # it could not be run here, or no time was left
    ERROR = "error"  # it broke off


@dataclass(frozen=True, slots=True)
class Section:
    """One section's result. rows: what was measured or checked, one dict a line, equal keys in
    each."""

    name: str
    outcome: SectionOutcome
    message: str = ""
    rows: tuple[Row, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class GpuCard:
    """The whole run. Times of a dry run mean nothing, and the card says that it was one."""

    dry: bool
    parts: str
    hardware: Row
    versions: Row
    date: str
    sections: tuple[Section, ...]
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    format: int = field(default=FORMAT)

    @property
    def passed(self) -> bool:
        """Nothing failed or broke off."""
        return not any(
            section.outcome in (SectionOutcome.FAIL, SectionOutcome.ERROR)
            for section in self.sections
        )

    def write(self, path: Path) -> None:
        """Write the card; the file appears whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{path.name}.partial")
        content: dict[str, Any] = asdict(self) | {"passed": self.passed}
        partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        partial.replace(path)


def now() -> str:
    """The date and time, UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def hardware(device: torch.device) -> Row:
    """What the suite runs on."""
    if device.type != "cuda":
        return {"device": "CPU", "machine": platform.machine(), "threads": torch.get_num_threads()}
    properties = torch.cuda.get_device_properties(device)
    return {
        "device": properties.name,
        "capability": ".".join(map(str, torch.cuda.get_device_capability(device))),
        "multiprocessors": properties.multi_processor_count,
        "memory_gib": round(properties.total_memory / 2**30, 1),
        "l2_mib": round(getattr(properties, "L2_cache_size", 0) / 2**20, 1),
    }


def versions() -> Row:
    """Of what the figures depend on."""
    found: Row = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
    }
    found["triton"] = runtime.VERSION or "none"
    for package in ("numpy", "safetensors", "tokenizers", "vllm", "sglang"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = None
    return found
