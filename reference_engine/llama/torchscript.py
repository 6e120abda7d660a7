"""Functions that run as TorchScript: a whole stretch of tensor operations without Python between
them.

That saves the interpreter's share of each operation, and the interpreter lock is not held
meanwhile, so that two threads can run two halves of a batch. What does not compile runs as the
plain Python that it is.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

import torch

P = ParamSpec("P")
R = TypeVar("R")


def scripted(function: Callable[P, R]) -> Callable[P, R]:
    """`function` compiled, where this torch can; `function` itself otherwise."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            return cast("Callable[P, R]", torch.jit.script(function))
    except (RuntimeError, AttributeError, OSError):
        return function
