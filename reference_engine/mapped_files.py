"""Memory of files that are mapped: given back once it has been read, and there again for whoever
asks for it later."""

from __future__ import annotations

import ctypes
import mmap
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

MAPS = Path("/proc/self/maps")
DONTNEED = getattr(mmap, "MADV_DONTNEED", None)


@dataclass(frozen=True, slots=True)
class MappedFiles:
    """Where files are mapped into this process, privately: (first byte, end) each; none where the
    system does not say.

    Whoever wrote to such memory would lose what he wrote; weights are written by nobody.
    """

    places: tuple[tuple[int, int], ...]

    @classmethod
    def now(cls) -> MappedFiles:
        """As it is at this moment."""
        try:
            lines = MAPS.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            lines = []
        fields = [line.split(maxsplit=5) for line in lines]
        mapped = [
            each[0].split("-")
            for each in fields
            if len(each) > 5 and each[1].endswith("p") and each[4] != "0"
        ]
        return cls(tuple((int(first, 16), int(end, 16)) for first, end in mapped))

    def let_go(self, tensor: Tensor) -> None:
        """Give the whole pages of a tensor back, if they are a file's; does nothing to any other
        memory."""
        first, size = tensor.data_ptr(), tensor.numel() * tensor.itemsize
        begin = -(-first // mmap.PAGESIZE) * mmap.PAGESIZE
        length = (first + size) // mmap.PAGESIZE * mmap.PAGESIZE - begin
        inside = any(low <= first and first + size <= high for low, high in self.places)
        if DONTNEED is None or not inside or length <= 0 or not tensor.is_contiguous():
            return
        ctypes.CDLL(None).madvise(ctypes.c_void_p(begin), ctypes.c_size_t(length), DONTNEED)
