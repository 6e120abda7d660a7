"""What keys and values are kept as on a CPU. Imports no torch."""

from __future__ import annotations

from enum import Enum


class KVDtype(Enum):
    """FP32 is the oracle's. BF16: each number is rounded to the nearest, of equally near ones to
    the even, when it is kept, which takes half the memory and half the traffic; what is computed
    with it stays fp32. It is asked for, never chosen unasked. A GPU keeps KV in the dtype of the
    weights.
    """

    FP32 = "float32"
    BF16 = "bfloat16"

    @property
    def bytes(self) -> int:
        """Of one number."""
        return 4 if self is KVDtype.FP32 else 2

    def lacking(self, device: str = "cpu") -> str:
        """What keeps KV on `device` from being kept so, in a clause; "" where nothing does."""
        if self is KVDtype.FP32 or device == "cpu":
            return ""
        return (
            f"KV in {self.value} is an option on CPUs; a GPU keeps KV in the dtype of the weights"
        )
