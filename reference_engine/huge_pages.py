"""Memory for what every step reads, the weights and the KV: in huge pages, where the system has
them.

A step that reads thousands of small pages leaves a processor no memory of where any other page
lies, the interpreter's included, and it has to find them again.
"""

from __future__ import annotations

import ctypes
import mmap
from contextlib import suppress

import torch
from torch import Tensor

PAGE = 2 << 20
"""Bytes of a huge page; memory begins at a multiple of it."""
PIECE = 16 << 20
"""Numbers that an arena asks for at a time; it takes memory for those that are written."""
LINE = 16
"""Numbers in what a cache moves at once."""


def zeros(count: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """`[count]`, zeros. The memory is taken now: whoever writes there first need not wait for it."""
    return _promised(-(-count * dtype.itemsize // 4)).zero_().view(dtype)[:count]


def _promised(count: int) -> Tensor:
    """fp32 `[count]`, zeros whose memory is taken when it is first written."""
    space = _space(4 * count + PAGE)
    begin = -ctypes.addressof(ctypes.c_char.from_buffer(space)) % PAGE
    return torch.frombuffer(space, dtype=torch.float32, count=max(1, count), offset=begin)[:count]


def _space(size: int) -> mmap.mmap:
    if not hasattr(mmap, "MAP_PRIVATE"):
        return mmap.mmap(-1, size)
    # what is shared gets no huge pages
    space = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):  # a kernel without them: small pages do as well, only slower
            space.madvise(mmap.MADV_HUGEPAGE)
    return space


class TensorArena:
    """Tensors side by side, so that small ones lie in huge pages too."""

    def __init__(self) -> None:
        self._free = torch.empty(0)

    def take(self, count: int) -> Tensor:
        """fp32 `[count]`, zeros, from the beginning of a cache line on."""
        if count > len(self._free):
            self._free = _promised(max(count, PIECE))
        taken, self._free = self._free[:count], self._free[-(-count // LINE) * LINE :]
        return taken
