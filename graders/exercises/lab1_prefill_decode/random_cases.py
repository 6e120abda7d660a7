"""How random cases are drawn for each law of lab 1: small models of every proportion, a few too
large for floats."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

from graders.checking.check_context import CheckContext
from graders.checking.formulas import FormulaJudge
from graders.checking.random_cases import Case, Picks
from graders.exercises.lab1_prefill_decode import specification as spec
from reference_engine.slots import Shape

IMPORTS = "from reference_engine.slots import Shape\n"
LARGE = (
    1,
    1,
    1,
    1 << 24,
)  # times which a size is taken: some counts lie beyond 2**53, none beyond 2**63
NEAR = Fraction(1, 10**9)
SWIFT = (1.0, 2.0**40, 2.0**40, 2.0**-12)  # times which a machine is as fast


def shape_of(picks: Picks) -> Shape:
    """Heads need not fill the width, nor the head be tied, nor a size be even."""
    large, kv_heads = picks.pick(LARGE), picks.pick((1, 2, 3))
    return Shape(
        vocab=large * picks.pick((7, 32, 101)) + (large > 1),
        width=large * picks.pick((4, 6, 9)) + (large > 1),
        layers=picks.pick((1, 2, 5)),
        heads=kv_heads * picks.pick((2, 1, 4)),
        kv_heads=kv_heads,
        head_width=picks.pick((2, 4, 10)),
        inner=picks.pick((5, 12, 31)),
        tied=picks.pick((False, True)),
    )


def judge_of(context: CheckContext) -> FormulaJudge:
    return FormulaJudge(context, IMPORTS)


def parameters(context: CheckContext, case: Case) -> None:
    judge_of(context).judge(spec.PARAMETERS, shape_of(case.setup))


def kv_bytes(context: CheckContext, case: Case) -> None:
    setup = case.setup
    judge_of(context).judge(spec.KV, shape_of(setup), bytes_per_value=setup.pick((2, 4, 1)))


def operations(context: CheckContext, case: Case) -> None:
    setup = case.setup
    shape, new, cached = (
        shape_of(setup),
        setup.pick((1, 2, 3, 17, 64)),
        setup.pick((0, 1, 2, 100, 4095)),
    )
    judge_of(context).judge(spec.OPERATIONS, shape, new_tokens=new, context=cached)


def decode_bytes(context: CheckContext, case: Case) -> None:
    """A request for each move, at least one."""
    setup = case.setup
    shape, width, form = shape_of(setup), setup.pick((2, 4, 1)), setup.pick((list, tuple))
    contexts = [move.pick((0, 1, 2, 17, 4095)) for move in case.moves] or [0]
    judge_of(context).judge(spec.DECODE, shape, contexts=form(contexts), bytes_per_value=width)


def floor(context: CheckContext, case: Case) -> None:
    setup = case.setup
    counted, moved = setup.number(0, 4000), setup.number(0, 4000)
    peak, bandwidth = setup.pick((1.0, 3.0, 1e12)), setup.pick((1.0, 0.7, 1e10))
    judge_of(context).judge(spec.FLOOR, counted, moved, peak=peak, bandwidth=bandwidth)


def break_even(context: CheckContext, case: Case) -> None:
    """Where batch and machine meet exactly, or never because a further request brings as much of
    both, all numbers and their quotients are exact in floats, too.

    Machines are slow, or a power of two times as fast.
    """
    setup = case.setup
    shape, cached, width = shape_of(setup), setup.pick((0, 3, 40)), setup.pick((2, 4, 1))
    meet, batch = (
        setup.pick(("anywhere", "exactly", "anywhere", "never")),
        setup.pick((2, 1, 4, 16)),
    )
    peak, bandwidth = float(setup.pick((100, 400, 3000, 90000))), float(setup.pick((100, 30, 11)))
    swift = setup.pick(SWIFT)
    if meet == "exactly" and shape.vocab < LARGE[-1]:
        shape = _filled_up(shape, cached, width, batch)
        peak = float(batch * sum(spec.operation_terms(shape, 1, cached).values()))
        bandwidth = float(sum(spec.decode_terms(shape, [cached] * batch, width).values()))
    elif meet == "never" and shape.vocab < LARGE[-1]:
        shape = _rounded(shape, cached)
        peak = float(sum(spec.operation_terms(shape, 1, cached).values()))
        bandwidth = float(spec.each(shape, cached, width))
    elif not _is_clear(shape, cached, width, peak, bandwidth):
        return
    asked: dict[str, Any] = {
        "context": cached,
        "bytes_per_value": width,
        "peak": swift * peak,
        "bandwidth": swift * bandwidth,
    }
    judge_of(context).judge(spec.BREAK_EVEN, shape, **asked)


def _filled_up(shape: Shape, cached: int, width: int, batch: int) -> Shape:
    """With so large a vocabulary that a step moves a power of two of bytes: its parts are binary
    fractions of it."""
    shape = replace(shape, width=4)
    moved = sum(spec.decode_terms(shape, [cached] * batch, width).values())
    return replace(
        shape, vocab=shape.vocab + ((1 << moved.bit_length()) - moved) // (shape.width * width)
    )


def _rounded(shape: Shape, cached: int) -> Shape:
    """So wide that a request of its own moves a power of two of bytes."""
    kv = (cached + 1) * sum(spec.kv_terms(shape, 1).values())
    return replace(shape, width=(1 << kv.bit_length()) - kv)


def _is_clear(shape: Shape, cached: int, width: int, peak: float, bandwidth: float) -> bool:
    """Whether rounding cannot decide: neither at the batch that is due and the one before, nor
    whether there is one."""
    leads = [spec.lead(shape, cached, width, peak, bandwidth, batch) for batch in (1, 2)]
    due = spec.break_even_batch(shape, cached, width, peak, bandwidth)
    leads += [
        spec.lead(shape, cached, width, peak, bandwidth, batch)
        for batch in (due or 1, max((due or 1) - 1, 1))
    ]
    taken = Fraction(sum(spec.operation_terms(shape, 1, cached).values())) / Fraction(peak)
    won = leads[1] - leads[0]
    return abs(won) > NEAR * taken and all(abs(lead) > NEAR * taken * (due or 1) for lead in leads)
