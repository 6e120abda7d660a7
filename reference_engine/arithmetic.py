"""What products are computed in on a CPU. Imports no torch."""

from __future__ import annotations

from enum import Enum


class Arithmetic(Enum):
    """FP32 is the oracle's. BF16, INT8: rows are rounded to that, int8 in groups with a scale,
    before they meet a matrix that is stored so, and multiplied as that; all else stays fp32. They
    are asked for, never chosen unasked.
    """

    FP32 = "float32"
    BF16 = "bfloat16"
    INT8 = "int8"
