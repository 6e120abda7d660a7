"""How random cases are drawn for each law of exercise 5: few tokens, shares of sixteen, nothing
near a boundary."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

from graders.checking.check_context import CheckContext
from graders.checking.random_cases import Case, Picks
from graders.exercises.ex5_speculative_sampling import specification as spec
from graders.exercises.ex5_speculative_sampling.judge import SamplingJudge
from graders.exercises.ex5_speculative_sampling.specification import (
    Chain,
    Guess,
    Row,
    Rule,
    Siblings,
)

NEAR = 5e-3  # decisions nearer than this are left to rounding
UNITS = 16  # shares of a distribution
DICE, FINE = 64, 1024  # sides of a uniform
TRIES = 40
FAR = 1000.0  # logits that overflow when they are not brought down first
DTYPES = ("float32", "float64")
KINDS = ("overlapping", "alike", "disjoint", "sharp", "flat")
SEEDS = 200
T = TypeVar("T")


def shares(chance: random.Random, tokens: Sequence[int], vocab: int) -> list[float]:
    """A distribution over `tokens`, in sixteenths."""
    counts = [0] * vocab
    for _ in range(UNITS):
        counts[chance.choice(tokens)] += 1
    return [count / UNITS for count in counts]


def die(chance: random.Random) -> float:
    """A uniform that is no multiple of a sixteenth."""
    return (2 * chance.randrange(DICE) + 1) / (2 * DICE)


def beside(bar: float, chance: random.Random) -> float:
    """A uniform a little below a bar, or, more often, above it, where there is any."""
    found = bar + chance.choice((-0.06, -0.02, 0.02, 0.02, 0.06, 0.1))
    return min(max(round(found * FINE), 1), FINE - 8) / FINE


def pair(kind: str, chance: random.Random, vocab: int) -> tuple[list[float], list[float]]:
    """q and p."""
    every = list(range(vocab))
    one = chance.randrange(vocab)
    p = shares(chance, every, vocab)
    if kind == "alike":
        return list(p), p
    if kind == "disjoint":
        half = chance.sample(every, max(1, vocab // 2))
        rest = [token for token in every if token not in half] or every
        return shares(chance, half, vocab), shares(chance, rest, vocab)
    if kind == "sharp":
        return [float(token == one) for token in every], p
    if kind == "flat":
        return [1 / UNITS * (UNITS // vocab + (token < UNITS % vocab)) for token in every], p
    return shares(chance, every, vocab), p


def token_of(q: Row, chance: random.Random) -> int:
    """One that q could have drawn."""
    return chance.choice([token for token, x in enumerate(q) if x > 0])


def apart(draw: Callable[[], T], margin: Callable[[T], float]) -> T | None:
    """One that no rounding decides; None if none was found."""
    for _ in range(TRIES):
        found = draw()
        if margin(found) > NEAR:
            return found
    return None


# ---------------------------------------------------------------- probabilities


def _logits(chance: random.Random, vocab: int, base: float, step: float) -> list[float]:
    row = [
        base + chance.randint(-6, 6) * step if chance.random() < 0.85 else -math.inf
        for _ in range(vocab)
    ]
    row[chance.randrange(vocab)] = base + chance.randint(0, 6) * step
    return row


def _shape(kind: str, rows: int) -> tuple[int, ...]:
    """Of so many rows, one at least."""
    return {"one": (), "row": (rows,), "chain": (1, rows), "deep": (rows, 1, 1)}[kind]


def _spread(
    context: CheckContext, case: Case, rule: Callable[[random.Random, int], Rule], step: float
) -> None:
    """One row for each move."""
    setup = case.setup
    kind, vocab, dtype = (
        setup.pick(("one", "row", "chain", "deep")),
        setup.pick((3, 2, 5, 9, 40)),
        setup.pick(DTYPES),
    )
    base = setup.pick((0.0, 0.0, FAR, -FAR))
    chance = random.Random(setup.number(0, SEEDS))
    told = rule(chance, vocab)
    codes = [move.number(0, SEEDS) for move in case.moves][: 1 if kind == "one" else None] or [0]
    rows = []
    for code in codes:
        draw = partial(_logits, random.Random(code), vocab, base, step)
        found = apart(draw, lambda row: spec.spread(row, told).margin)
        rows += [found] if found else []
    if rows:
        SamplingJudge(context).probabilities(rows, told, shape=_shape(kind, len(rows)), dtype=dtype)


def temperature(context: CheckContext, case: Case) -> None:
    _spread(
        context, case, lambda chance, _: Rule(chance.choice((0.5, 2.0, 1.0, 0.0, 0.25, 0))), 0.5
    )


def top_k(context: CheckContext, case: Case) -> None:
    """Whole logits: many are equal."""
    _spread(
        context,
        case,
        lambda chance, vocab: Rule(chance.choice((1.0, 0.5)), chance.randint(1, vocab + 1)),
        1.0,
    )


def top_p(context: CheckContext, case: Case) -> None:
    def rule(chance: random.Random, vocab: int) -> Rule:
        share = chance.choice((0.3, 0.6, 0.9, 0.05, 0.97))
        return Rule(chance.choice((1.0, 0.5, 2.0)), chance.choice((0, 0, 1, 2, vocab)), share)

    _spread(context, case, rule, chance_step(case))


def chance_step(case: Case) -> float:
    """Between two logits: whole ones are often equal, the others seldom. Float32 holds either, near
    `FAR` too."""
    return 1.0 if case.codes[0] % 2 else 0.375


# ---------------------------------------------------------------- a chain


def guess(move: Picks, vocab: int) -> Guess:
    """One that its boundary is far from."""
    kind, chance = move.pick(KINDS), random.Random(move.number(0, SEEDS))

    def draw() -> Guess:
        q, p = pair(kind, chance, vocab)
        found = Guess(token_of(q, chance), q, p, die(chance))
        return (
            replace(found, u=beside(float(found.bar), chance)) if chance.random() < 0.5 else found
        )

    sure = [1.0, *[0.0] * (vocab - 1)]
    return apart(draw, lambda one: abs(one.u - float(one.bar))) or Guess(0, sure, sure, 0.5)


def chain(guesses: Sequence[Guess], vocab: int, chance: random.Random) -> Chain | None:
    def draw() -> Chain:
        return Chain(tuple(guesses), shares(chance, range(vocab), vocab), die(chance))

    return apart(draw, lambda row: row.margin)


def guesses(context: CheckContext, case: Case) -> None:
    """One row, a guess for each move: how many stand?"""
    setup = case.setup
    vocab, dtype = setup.pick((3, 2, 4, 7)), setup.pick(DTYPES)
    found = [guess(move, vocab) for move in case.moves] or [guess(Picks(case.codes[0]), vocab)]
    row = chain(found, vocab, random.Random(setup.number(0, SEEDS)))
    if row is not None:
        SamplingJudge(context).accept_chain([row], dtype=dtype, counts=True)


def token_after(context: CheckContext, case: Case) -> None:
    """One row of guesses of which a chosen number stands, then the token after them."""
    setup = case.setup
    vocab, dtype, falls = (
        setup.pick((3, 4, 2, 7)),
        setup.pick(DTYPES),
        setup.pick((True, False, True)),
    )
    chance = random.Random(setup.number(0, SEEDS))
    made = [guess(move, vocab) for move in case.moves] or [guess(Picks(case.codes[0]), vocab)]
    stood = [one for one in made if one.stands]
    fallen = [one for one in made if not one.stands][:1] if falls else []
    row = chain([*stood, *fallen, *stood[:1]], vocab, chance) if stood or fallen else None
    if row is not None:
        SamplingJudge(context).accept_chain([row], dtype=dtype)


# ---------------------------------------------------------------- candidates


def candidates(chance: random.Random, vocab: int, count: int, kind: str) -> Siblings | None:
    """Drawn without replacement, as far as q has tokens; the rest is any others."""

    def draw() -> Siblings:
        q, p = pair(kind, chance, vocab)
        tokens = tuple(
            sorted(range(vocab), key=lambda token: (q[token] == 0, chance.random()))[:count]
        )
        row = Siblings(tokens, q, p, tuple(die(chance) for _ in tokens), die(chance))
        for turn in range(len(tokens)):  # a bar depends on those before it, which fall
            bars = [found.bar for found in row.turns]
            if turn < len(bars) and chance.random() < 0.7:
                u = beside(float(bars[turn]), chance)
                row = replace(row, u=(*row.u[:turn], u, *row.u[turn + 1 :]))
        return row

    return apart(draw, lambda row: row.margin)


def siblings(context: CheckContext, case: Case) -> None:
    """One row."""
    setup = case.setup
    vocab, kind, dtype = (
        setup.pick((3, 4, 5, 8)),
        setup.pick(("overlapping", "flat", "sharp", "disjoint")),
        setup.pick(DTYPES),
    )
    chance, count = random.Random(setup.number(0, SEEDS)), sum(1 for _ in case.moves)
    row = candidates(chance, vocab, max(1, min(count, vocab - 1)), kind)
    if row is not None:
        SamplingJudge(context).accept_siblings([row], dtype=dtype, turns=True)


def nothing_stands(context: CheckContext, case: Case) -> None:
    """One row in which every candidate falls: what is drawn then?"""
    setup = case.setup
    vocab, dtype = setup.pick((3, 4, 5, 8)), setup.pick(DTYPES)
    chance, count = random.Random(setup.number(0, SEEDS)), sum(1 for _ in case.moves)
    for _ in range(TRIES):
        row = candidates(chance, vocab, max(1, min(count, vocab - 1)), "overlapping")
        if row is not None and row.which < 0:
            return SamplingJudge(context).accept_siblings([row], dtype=dtype)
    return None


# ---------------------------------------------------------------- batches


def batch(context: CheckContext, case: Case) -> None:
    """Several rows, or none, through all three functions; a move says how many guesses."""
    setup = case.setup
    rows, vocab, dtype = setup.pick((2, 3, 0, 6)), setup.pick((3, 4)), setup.pick(DTYPES)
    chance, count = random.Random(setup.number(0, SEEDS)), max(1, sum(1 for _ in case.moves))
    judge = SamplingJudge(context)
    judge.scene.views = setup.pick((False, True))
    rule = Rule(chance.choice((1.0, 0.5)), chance.choice((0, 2)), chance.choice((1.0, 0.6)))
    found = [
        apart(lambda: _logits(chance, 4, 0.0, 0.5), lambda row: spec.spread(row, rule).margin)
        for _ in range(rows)
    ]
    judge.probabilities([row for row in found if row], rule, dtype=dtype)
    chains = [
        chain([guess(Picks(chance.getrandbits(24)), vocab) for _ in range(count)], vocab, chance)
        for _ in range(rows)
    ]
    judge.accept_chain([row for row in chains if row], dtype=dtype)
    several = [
        candidates(chance, vocab, min(count, vocab - 1), chance.choice(KINDS)) for _ in range(rows)
    ]
    judge.accept_siblings([row for row in several if row], dtype=dtype)
