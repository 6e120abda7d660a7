"""What an engine is given the weights in and computes in: one form for a whole race, or each
engine's quickest."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass

import torch

from graders.engines.catalogue import EngineKind
from graders.engines.loaded import BEST, DTYPE, HALF, INT8, Checkpoint, checkpoint
from reference_engine.arithmetic import Arithmetic
from reference_engine.model import Model
from reference_engine.model_loader import load_model
from reference_engine.native.products import lacks
from reference_engine.quantized import quantized

EXACT = Arithmetic.FP32.value
NARROW = {Arithmetic.BF16.value: HALF, Arithmetic.INT8.value: INT8}
"""Arithmetic that rounds rows, and the dtype of the weights that it is for."""


@dataclass(frozen=True, slots=True)
class Precision:
    """dtype: of the weights, one of DTYPES. arithmetic: of our own engine's products; kv_dtype: of
    its keys and values; others compute in what their weights are, or as they see fit.
    """

    dtype: str
    arithmetic: str = EXACT
    kv_dtype: str = EXACT

    @property
    def exact(self) -> bool:
        """Nothing of ours is rounded but the weights."""
        return self.arithmetic == self.kv_dtype == EXACT

    def __str__(self) -> str:
        products = "" if self.arithmetic == EXACT else f", products in {self.arithmetic}"
        return (
            self.dtype + products + ("" if self.kv_dtype == EXACT else f", KV in {self.kv_dtype}")
        )


PLAIN = Precision(DTYPE)
"""What engines are compared in, if nothing else is said."""


def precisions(kind: EngineKind, asked: Precision, device: str) -> tuple[Precision, ...]:
    """Those that an engine is tried in, where this is asked for: one, or all that it has where the
    quickest counts."""
    if asked.dtype != BEST:
        return (asked if kind.exact else Precision(asked.dtype),)
    if not kind.exact:
        return tuple(Precision(each) for each in kind.dtypes)
    # weights that bf16 holds are stored so, whatever they are given as
    exact = ((HALF, EXACT), (INT8, EXACT))
    narrow = ((each, way) for way, each in NARROW.items() if not lacks(Arithmetic(way), device))
    return tuple(Precision(*each, asked.kv_dtype) for each in (*exact, *narrow))


class Forms:
    """One model in the dtypes that engines are given it in, each made and written when it is first
    asked for.

    The weights of float32 are those of the name, bfloat16's and q8_0's are these rounded: three
    models, and an engine is judged by the one that it was given.
    """

    def __init__(self, name: str, stack: ExitStack) -> None:
        self._name, self._stack = name, stack
        self._models, self._written = dict[str, Model](), dict[str, Checkpoint]()

    def model(self, dtype: str) -> Model:
        """The model in one of DTYPES. Raises ModelError and ValueError."""
        if dtype not in self._models:
            model = load_model(self._name, dtype=getattr(torch, DTYPE if dtype == INT8 else dtype))
            self._models[dtype] = quantized(model) if dtype == INT8 else model
        return self._models[dtype]

    def checkpoint(self, dtype: str) -> Checkpoint:
        """Its folder, which lasts as long as the stack. Raises ModelError when there is no room for
        it."""
        if dtype not in self._written:
            self._written[dtype] = self._stack.enter_context(checkpoint(self.model(dtype), dtype))
        return self._written[dtype]
