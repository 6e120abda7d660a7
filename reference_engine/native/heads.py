"""Medusa heads in compiled code."""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

from reference_engine.native import library
from reference_engine.native.weights import Packer


class NativeHeads:
    """H heads on a CPU, packed. residual `[H, width, width]`, project `[H, vocab, width]`."""

    def __init__(self, compiled: ctypes.CDLL, residual: Tensor, project: Tensor) -> None:
        self._compiled, self._packer = compiled, Packer(compiled)
        count, vocab, width = project.shape
        self._projections = (library.NativePanels * count)(
            *(self._packer.pack(each) for each in project)
        )
        blocks = self._packer.pack(residual.flatten(0, 1))
        self._heads = library.NativeHeadsStruct(count, width, vocab, blocks, self._projections)

    def guess(self, hidden: Tensor, count: int) -> Tensor:
        """hidden `[R, width]` -> int64 `[R, H, count]`: each head's guesses, likeliest first, then
        lowest id."""
        if not 0 < count <= self._heads.vocab:
            raise ValueError(f"{count} guesses of a vocabulary of {self._heads.vocab}")
        hidden = hidden.contiguous()
        guesses = torch.empty(len(hidden), self._heads.count, count, dtype=torch.int64)
        threads = torch.get_num_threads()
        self._compiled.guess(
            self._heads, hidden.data_ptr(), len(hidden), count, guesses.data_ptr(), threads
        )
        return guesses
