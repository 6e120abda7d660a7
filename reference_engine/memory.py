"""Memory that is left, so that a model that does not fit is refused before the kernel ends
somebody, or given back."""

from __future__ import annotations

import ctypes
from contextlib import suppress
from pathlib import Path

import torch

from reference_engine.llama.config import LlamaConfig
from reference_engine.llama.weights import ModelError

MEMINFO, GROUP = Path("/proc/meminfo"), Path("/sys/fs/cgroup")
GIB = 1 << 30


def available(device: torch.device) -> int | None:
    """Bytes that may be taken on a device; None where nobody says."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        lines = dict(line.split(":", 1) for line in MEMINFO.read_text().splitlines() if ":" in line)
        left = int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError, IndexError):
        return None
    return min(left, _left_of_group(left))


def _left_of_group(otherwise: int) -> int:
    """What the control group of this process leaves, where one limits it."""
    try:
        return int((GROUP / "memory.max").read_text()) - int((GROUP / "memory.current").read_text())
    except (OSError, ValueError):  # none, another version, or the word "max"
        return otherwise


def refuse_what_does_not_fit(
    name: str, config: LlamaConfig, dtype: torch.dtype, device: torch.device
) -> None:
    """Raises ModelError, one sentence, for a model whose weights alone are more than the memory
    that is left."""
    needed, left = config.parameters * dtype.itemsize, available(device)
    if left is not None and needed > left:
        told = f"{name} has {config.parameters:,} parameters, {needed / GIB:,.1f} GiB in {_name(dtype)}"
        raise ModelError(f"{told}; {left / GIB:,.1f} GiB of memory are left on {device}")


def refuse_copies_that_do_not_fit(name: str, bytes_each: int, copies: int) -> None:
    """Raises ModelError, one sentence, when so many engines cannot hold their weights at the same
    time."""
    left = available(torch.device("cpu"))
    if left is not None and copies * bytes_each > left:
        told = f"{copies} engines hold {name} at the same time, {bytes_each / GIB:,.1f} GiB each"
        raise ModelError(
            f"{told}; {left / GIB:,.1f} GiB of memory are left: race fewer of them, or a smaller model"
        )


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def trim() -> None:
    """Give back what the allocator keeps of memory that was freed, where the C library can (glibc)."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
