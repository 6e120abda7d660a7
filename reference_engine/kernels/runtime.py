"""Triton where it is installed, and one clear sentence where it is not.

The kernel files import `jit`, `tl` and `constexpr` from here, so that they import on any machine.
What a kernel does is decided by the environment when this module is first imported: with
TRITON_INTERPRET=1 kernels run in Triton's interpreter on CPU tensors, otherwise they are compiled
for the GPU at first launch.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

OLDEST_TRITON = (3, 3)
OLDEST_CAPABILITY = (8, 0)


@dataclass(frozen=True, slots=True)
class Config:
    """How an attention kernel is cut: packed query rows and KV tokens a tile, warps a program,
    pipeline stages."""

    rows: int
    tile: int
    warps: int
    stages: int


SMALL = Config(16, 16, 1, 1)
"""The interpreter's: small tiles, so that small tests cross many."""


class KernelsUnavailable(RuntimeError):
    """A kernel was launched where it cannot run. The message says why and what to do."""


class _Absent:
    """Stands in for `triton.language` where triton is missing: it has every name, and none does
    anything."""

    def __getattr__(self, name: str) -> Any:
        return self

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self


class _NotLaunchable:
    """A kernel where triton is missing: launching it says so."""

    def __init__(self, reason: str) -> None:
        self.reason = reason

    def __getitem__(self, grid: object) -> Any:
        raise KernelsUnavailable(self.reason)


def _version(text: str) -> tuple[int, ...]:
    """The leading numbers of a version: "3.9.0+git" -> (3, 9)."""
    return tuple(int(part) for part in text.split(".")[:2] if part.isdigit())


def _missing() -> str:
    """Why triton cannot be used at all, or "" if it can."""
    try:
        import triton.language
    except ModuleNotFoundError:
        return "triton is not installed; `pip install triton` adds it, until then plain torch does its work"
    except (ImportError, AttributeError, OSError) as error:
        return f"triton is installed but does not import ({error}); plain torch does its work"
    if _version(triton.__version__) < OLDEST_TRITON:
        oldest = ".".join(map(str, OLDEST_TRITON))
        return f"triton {triton.__version__} is too old, {oldest} or newer is needed; plain torch does its work"
    return ""


MISSING: str = _missing()
INTERPRETED: bool = not MISSING and os.environ.get("TRITON_INTERPRET", "0") not in ("", "0")
VERSION: str = ""

jit: Callable[[Callable[..., Any]], Any]
tl: Any
if MISSING:
    jit = lambda function: _NotLaunchable(MISSING)  # noqa: E731
    tl = _Absent()
else:
    import triton
    import triton.language

    jit = triton.jit
    tl = triton.language
    VERSION = triton.__version__

if TYPE_CHECKING:
    Pointer = Any  # a kernel's tensor argument, which is a pointer inside
    Scalar = Any  # a kernel's run-time number
    constexpr = Any
else:
    constexpr = tl.constexpr
    Pointer = Scalar = tl.tensor  # Triton evaluates annotations, and knows only its own names


@functools.cache
def why_not(device: torch.device) -> str:
    """Why kernels cannot run on tensors of `device`; "" when they can."""
    if MISSING:
        return MISSING
    if INTERPRETED:
        return ""
    if device.type != "cuda":
        return f"kernels need a CUDA device (got {device.type}), or TRITON_INTERPRET=1 set before they are imported"
    if not torch.cuda.is_available():
        return "torch sees no CUDA device"
    if getattr(torch.version, "hip", None):
        return "these kernels were written for NVIDIA devices and not tried on others"
    capability = torch.cuda.get_device_capability(device)
    if capability < OLDEST_CAPABILITY:
        name, have = torch.cuda.get_device_name(device), ".".join(map(str, capability))
        return f"{name} has compute capability {have}; kernels need {'.'.join(map(str, OLDEST_CAPABILITY))} or newer"
    return ""


def require(*tensors: torch.Tensor) -> None:
    """Raise `KernelsUnavailable` unless kernels can run on these tensors, which must share one
    device."""
    device = tensors[0].device
    if any(tensor.device != device for tensor in tensors):
        raise KernelsUnavailable(
            f"tensors on different devices: {sorted({str(t.device) for t in tensors})}"
        )
    reason = why_not(device)
    if reason:
        raise KernelsUnavailable(reason)


@functools.cache
def multiprocessors(device: torch.device) -> int:
    """Streaming multiprocessors of `device`; in the interpreter 1, so that grids stay small."""
    if device.type != "cuda":
        return 1
    return int(torch.cuda.get_device_properties(device).multi_processor_count)


def power_of_two(n: int) -> int:
    """The smallest power of two that is at least `n` (`n` ≥ 1)."""
    return 1 << (n - 1).bit_length()


def cdiv(a: int, b: int) -> int:
    """a / b rounded up."""
    return -(-a // b)


def on(device: torch.device) -> contextlib.AbstractContextManager[object]:
    """Launch on `device`, whatever the current one is."""
    return torch.cuda.device(device) if device.type == "cuda" else contextlib.nullcontext()
