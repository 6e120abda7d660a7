"""Numbers of every kind as they are typed, and an option of several commands."""

from __future__ import annotations

import math
from typing import Any

import click

from graders.registry.parts import Number, number_of
from reference_engine.kv_dtype import KVDtype


class FiniteRange(click.FloatRange):
    """A `click.FloatRange` that takes neither infinity nor "nan"."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """The number. A usage error for anything else."""
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


class ExerciseNumber(click.ParamType[Number]):
    """1 or lab1: the number of an exercise, there or not."""

    name = "N"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Number:
        return number_of(str(value))


kv_dtype_option = click.option(
    "--kv-dtype",
    type=click.Choice([each.value for each in KVDtype]),
    default=KVDtype.FP32.value,
    show_default=True,
    help="What our engine keeps keys and values as, on a CPU.",
)
