"""Which arithmetic this machine has for products. Imports no torch."""

from __future__ import annotations

from reference_engine.arithmetic import Arithmetic
from reference_engine.native import library


def lacks(arithmetic: Arithmetic, device: str = "cpu") -> str:
    """What keeps products on `device` from being computed in it, in a clause; "" where nothing
    does."""
    if arithmetic is Arithmetic.FP32:
        return ""
    if device != "cpu":
        return f"products in {arithmetic.value} are an option on CPUs; a GPU computes in the dtype of the weights"
    compiled = library.library()
    if compiled is None:
        return f"products in {arithmetic.value} need compiled code: {library.reason().rstrip('.')}"
    if arithmetic is Arithmetic.BF16:
        return (
            ""
            if compiled.multiplies_bf16()
            else "this processor has no dot products of bf16 (avx512_bf16)"
        )
    return (
        ""
        if compiled.multiplies_int8()
        else "this processor has no dot products of int8 (avx512_vnni)"
    )
