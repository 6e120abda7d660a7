"""How often things happen, over thousands of rows: the rate of acceptance, and what the text is
distributed as.

The rate is exact: every u of a fine grid is tried with every token as often as q draws it. What
texts are distributed as is tested by chi-square, `TESTS` times in a check of the exercise. A right
part fails one of them in one of a million checks (`FALSE_ALARM`), whatever the seed; what a wrong
one has to be like in order to be missed as seldom is said by `seen_shift`.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Protocol

from graders.checking.call_recorder import CallRecorder
from graders.checking.check_context import CheckContext
from graders.checking.wire_tensors import sent
from graders.exercises.ex5_speculative_sampling.diagnostics import number
from graders.exercises.ex5_speculative_sampling.judge import SamplingJudge

FALSE_ALARM = 1e-6  # of all tests of a check together
SCALE = 1 << 20  # of whole uniforms, as the driver has it
GRID = 1024  # different values of u
ROWS = 4000  # texts of a test
GUESSES = 2
Table = tuple[tuple[float, ...], ...]  # [S, V]: after each token how likely each is
Text = tuple[int, ...]

P: Table = ((0.5, 0.25, 0.25), (0.125, 0.625, 0.25), (0.25, 0.25, 0.5))
DRAFTS: Mapping[str, Table] = {
    "a flat draft": ((0.375, 0.3125, 0.3125),) * 3,
    "a sharp draft": ((0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (1.0, 0.0, 0.0)),
    "a draft that thinks otherwise": (
        (0.125, 0.25, 0.625),
        (0.75, 0.125, 0.125),
        (0.5, 0.375, 0.125),
    ),
    "a draft that knows": P,
    "a draft that leaves out a token": ((0.5, 0.5, 0.0), (0.0, 0.75, 0.25), (0.25, 0.0, 0.75)),
}
APART: tuple[Table, Table] = (
    ((0.5, 0.5, 0.0, 0.0),),
    ((0.0, 0.0, 0.25, 0.75),),
)  # q and p have no token in common
CROWD: tuple[tuple[str, Table, Table], ...] = (
    ("a flat q", ((0.25, 0.25, 0.25, 0.125, 0.125),), ((0.5, 0.125, 0.125, 0.125, 0.125),)),
    ("a sharp q", ((0.75, 0.0625, 0.0625, 0.0625, 0.0625),), ((0.125, 0.25, 0.25, 0.25, 0.125),)),
    ("a q that knows", ((0.5, 0.125, 0.125, 0.125, 0.125),), ((0.5, 0.125, 0.125, 0.125, 0.125),)),
)
RATES: tuple[tuple[tuple[float, ...], tuple[float, ...]], ...] = (
    ((0.5, 0.25, 0.25, 0.0), (0.25, 0.25, 0.25, 0.25)),
    ((0.25, 0.25, 0.25, 0.25), (0.625, 0.125, 0.125, 0.125)),
    ((0.5, 0.5, 0.0, 0.0), (0.0, 0.0, 0.5, 0.5)),
    ((0.5, 0.25, 0.125, 0.125), (0.4375, 0.15625, 0.21875, 0.1875)),
)


TESTS = (
    len(DRAFTS) + len(CROWD) + 2
)  # of a check: those, candidates that p has none of, one in the engine
OF_A_TEST = FALSE_ALARM / TESTS
NOMINAL = OF_A_TEST / 2
"""Counts of a few thousand rows lie beyond a distance up to 1.3 times as often as chi-square, which they approach."""


def survival(distance: float, freedom: int) -> float:
    """The chance that chi-square with an even number of degrees of freedom exceeds a distance."""
    half, term, total = distance / 2, 1.0, 1.0
    for k in range(1, freedom // 2):
        term *= half / k
        total += term
    return math.exp(-half) * total


def limit(freedom: int) -> float:
    """The distance that fair draws exceed in `OF_A_TEST` of all tests at most."""
    low, high = 0.0, 1000.0
    while high - low > 1e-6:
        middle = (low + high) / 2
        low, high = (middle, high) if survival(middle, freedom) > NOMINAL else (low, middle)
    return high


def seen_shift(freedom: int, rows: int = ROWS) -> float:
    """sum((p' - p)² / p) from which on a part whose texts are distributed as p' passes less than
    once in a million.

    By the normal approximation of the noncentral chi-square, five deviations below its mean.
    """
    away = limit(freedom)
    while freedom + away - 5 * math.sqrt(2 * (freedom + 2 * away)) < limit(freedom):
        away += 1.0
    return away / rows


def chi_square(seen: Mapping[Text, int], due: Mapping[Text, float]) -> float:
    """How far counts are from what is due; infinite where something came that never should."""
    rows = sum(seen.values())
    if any(not due.get(text) for text in seen):
        return math.inf
    return sum((seen.get(text, 0) - rows * x) ** 2 / (rows * x) for text, x in due.items() if x)


# ---------------------------------------------------------------- the rate


def acceptance_rate(context: CheckContext) -> None:
    """The guesses that stand are 1 - TV of all, where TV is the total variation distance of p and
    q."""
    for q, p in RATES:
        context.cases += 1
        _rate(SamplingJudge(context), q, p)


def _rate(judge: SamplingJudge, q: Sequence[float], p: Sequence[float]) -> None:
    units = 8  # q in eighths: so often each token is drawn
    draft = [token for token, x in enumerate(q) for _ in range(round(units * x))]
    grid = [(2 * step + 1) * SCALE // (2 * GRID) for step in range(GRID)]
    every = list(product(draft, grid))
    b = len(every)
    args = [
        *(sent("float32", [list(row)] * len(q)) for row in (q, p)),
        sent("int64", [0] * b),
        sent("int64", [[token] for token, _ in every]),
        sent("int64", [[u] for _, u in every]),
        sent("int64", [SCALE // 2] * b),
    ]
    words = f"q = {list(q)}, p = {list(p)}, K = 1, {b} rows: each token as often as q draws it, with every u of a grid"
    count, _ = judge.many("many_chains", args, f"accept_chain({words})", b)
    stood, due = sum(count), round(b * (1 - total_variation(p, q)))
    if stood != due:
        message = (
            f"Of {b} guesses {stood} stand; {due} are due, the share 1 - TV = "
            f"{number(1 - total_variation(p, q))}."
        )
        judge.scene.broken(
            message, got=f"{stood} stand", expected=f"{due} stand", method="accept_chain"
        )


def total_variation(p: Sequence[float], q: Sequence[float]) -> float:
    return sum(abs(x - y) for x, y in zip(p, q, strict=True)) / 2


# ---------------------------------------------------------------- the text


@dataclass(frozen=True)
class Draws:
    """Whole uniforms from a seed."""

    chance: random.Random

    def whole(self, *shape: int) -> Any:
        if not shape:
            return self.chance.randrange(SCALE)
        return [self.whole(*shape[1:]) for _ in range(shape[0])]


def same_distribution(context: CheckContext) -> None:
    """Texts of two tokens by any draft, and one of several candidates, as the large model says
    them."""
    chance = random.Random(context.seed)
    for name, q in DRAFTS.items():
        context.cases += 1
        _chains(SamplingJudge(context), name, q, chance)
    for name, q, p in (*CROWD, ("a q that has no token of p", *APART)):
        context.cases += 1
        _candidates(SamplingJudge(context), name, q[0], p[0], chance)


def _chains(judge: SamplingJudge, name: str, q: Table, chance: random.Random) -> None:
    """Two tokens after token 0: guesses that stand and what follows them, in as many passes as it
    takes."""
    texts: list[list[int]] = [[0] for _ in range(ROWS)]
    while short := [text for text in texts if len(text) <= 2]:
        before = [text[-1] for text in short]
        draft = [list(_drafted(q, token, chance)) for token in before]
        b, dice = len(short), Draws(chance)
        args = [
            sent("float32", [list(row) for row in q]),
            sent("float32", [list(row) for row in P]),
            sent("int64", before),
            sent("int64", draft),
            sent("int64", dice.whole(b, GUESSES)),
            sent("int64", dice.whole(b)),
        ]
        written = f"accept_chain({b} rows of {GUESSES} guesses by {name})"
        for text, said, count, following in zip(
            short, draft, *judge.many("many_chains", args, written, b), strict=True
        ):
            text += [*said[: max(0, count)], following]
    seen = Counter[Text]((text[1], text[2]) for text in texts)
    fair(
        judge,
        seen,
        {(x, y): P[0][x] * P[x][y] for x, y in product(range(3), repeat=2)},
        name,
        "accept_chain",
    )


def _drafted(q: Table, before: int, chance: random.Random) -> Iterator[int]:
    for _ in range(GUESSES):
        (before,) = chance.choices(range(len(q[before])), q[before])
        yield before


def _candidates(
    judge: SamplingJudge, name: str, q: Sequence[float], p: Sequence[float], chance: random.Random
) -> None:
    """One token, of at most three candidates that q drew without replacement."""
    known = sum(x > 0 for x in q)
    tokens, dice = (
        [_without_replacement(q, min(3, known), chance) for _ in range(ROWS)],
        Draws(chance),
    )
    args = [
        sent("float32", [list(q)]),
        sent("float32", [list(p)]),
        sent("int64", [0] * ROWS),
        sent("int64", tokens),
        sent("int64", dice.whole(ROWS, len(tokens[0]))),
        sent("int64", dice.whole(ROWS)),
    ]
    written = f"accept_siblings({ROWS} rows of {len(tokens[0])} candidates, {name})"
    _, said = judge.many("many_siblings", args, written, ROWS)
    due: dict[Text, float] = {(token,): x for token, x in enumerate(p)}
    fair(judge, Counter[Text]((token,) for token in said), due, name, "accept_siblings")


def _without_replacement(q: Sequence[float], count: int, chance: random.Random) -> list[int]:
    left, found = list(q), list[int]()
    for _ in range(count):
        (token,) = chance.choices(range(len(left)), left)
        found.append(token)
        left[token] = 0.0
    return found


class Told(Protocol):
    """Whoever tells a story."""

    @property
    def scene(self) -> CallRecorder: ...


def fair(
    judge: Told, seen: Mapping[Text, int], due: Mapping[Text, float], name: str, method: str
) -> None:
    """Broken where the counts are further from what is due than chance would have it."""
    freedom = sum(x > 0 for x in due.values()) - 1
    distance, most = chi_square(seen, due), limit(freedom + freedom % 2)
    if distance <= most:
        return
    rows = sum(seen.values())
    far = max({*seen, *due}, key=lambda text: abs(seen.get(text, 0) - rows * due.get(text, 0.0)))
    share, right = seen.get(far, 0) / rows, due.get(far, 0.0)
    what = "text" if len(far) > 1 else "token"
    told = (
        f"{list(far)} comes in {share:.1%} of {rows} rows"
        if len(far) > 1
        else f"{far[0]} in {share:.1%} of {rows} rows"
    )
    message = (
        f"With {name} the text is not the large model's: {what} {told} where {right:.1%} are due. Chi-square is"
        f" {number(distance)}; a right part's is above {number(most)} in one of {round(1 / OF_A_TEST):,} tests."
    )
    words = {
        text if len(text) > 1 else text[0]: seen.get(text, 0) for text in sorted({*seen, *due})
    }
    expected = {
        text if len(text) > 1 else text[0]: round(rows * x) for text, x in sorted(due.items())
    }
    judge.scene.broken(message, got=str(words), expected=f"about {expected}", method=method)
