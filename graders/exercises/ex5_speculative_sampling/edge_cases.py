"""The cases of exercise 5 that are named rather than drawn: equals, nothings, NaN, and sizes of
real engines."""

from __future__ import annotations

import math
import random
import struct
from collections.abc import Sequence

from graders.checking.check_context import CheckContext
from graders.exercises.ex5_speculative_sampling.judge import SamplingJudge
from graders.exercises.ex5_speculative_sampling.random_cases import DTYPES
from graders.exercises.ex5_speculative_sampling.specification import (
    Chain,
    Guess,
    Row,
    Rule,
    Siblings,
)

NEVER, NAN = -math.inf, math.nan
THIN = 1 << 13  # tokens that share a half: each has less than 1e-4
MANY = 70_001  # tokens: more than 16 bits number
ONE = (1.0, 0.0)
EVEN = (0.5, 0.5)
LAST = 1 - 2**-12  # of the uniforms, in every dtype
FINE = 2**-12  # that float32 sees beside 0.5, and half precision does not
LARGEST = {"float32": 1 - 2**-24, "float64": 1 - 2**-53}  # uniforms below 1


def temperatures(context: CheckContext) -> None:
    """Temperature 0, equals, logits that overflow, a row of NaN beside a good one, very cold and
    very warm ones."""
    nan = [NAN] * 3
    cases: tuple[tuple[list[Row], Rule], ...] = (
        ([[1.0, 3.0, 3.0]], Rule(0.0)),
        ([[NEVER, -2.0, -2.0]], Rule(0.0)),
        ([[0.0, 0.0, 0.0, 0.0]], Rule(0.0, 2, 0.5)),
        ([[NEVER, 0.5, 1.0]], Rule(1.0)),
        ([[1000.0, 999.0, -1000.0]], Rule(0.5)),
        ([[0.0, 1.0, 2.0], nan, [2.0, 1.0, 0.0]], Rule(2.0)),
        ([[0.0, 1.0, 2.0], nan], Rule(0.0)),
        ([[0.0, 0.01, -0.01]], Rule(0.01)),
        ([[0.0, 2**-10, -(2**-10)]], Rule(0.001)),
        ([[0.0, 4.0, -8.0]], Rule(8.0)),
        ([[0.0, -1.0, 0.0]], Rule(1e-6)),
        ([[0.0, 40.0, -40.0]], Rule(40.0)),
        ([[float(token % 7) for token in range(300)]], Rule(1.0)),
    )
    _spreads(context, cases)


def top_ks(context: CheckContext) -> None:
    """All of them, more than there are, ties at the k-th place, -inf there; a hundred; a k of 0 that
    is told."""
    cases: tuple[tuple[list[Row], Rule], ...] = (
        ([[1.0, 0.0, 2.0]], Rule(1.0, told=("top_k",))),
        ([[1.0, 0.0, 2.0]], Rule(0.0, told=("top_k",))),
        ([[1.0, 0.0, 1.0, 2.0]], Rule(1.0, 2)),
        ([[0.0, 0.0, 0.0]], Rule(1.0, 1)),
        ([[1.0, 0.0, 2.0]], Rule(1.0, 3)),
        ([[1.0, 0.0, 2.0]], Rule(1.0, 5)),
        ([[1.0, NEVER, NEVER, 2.0]], Rule(1.0, 3)),
        ([[float(token % 61) for token in range(300)]], Rule(1.0, 50)),
        ([[token % 151 / 64 for token in range(300)]], Rule(1.0, 100)),
        ([[0.0, 1.0, 2.0, 3.0], [NAN] * 4, [3.0, 3.0, 1.0, 0.0]], Rule(0.5, 2)),
    )
    _spreads(context, cases)


def top_ps(context: CheckContext) -> None:
    """Equals by index, sums that reach top_p exactly or just so, top_k first, nothing cut at 1.0;
    sets of hundreds."""
    flat = [0.0] * 4
    cases: tuple[tuple[list[Row], Rule], ...] = (
        ([flat], Rule(1.0, 0, 0.5)),
        ([flat], Rule(1.0, 0, 0.51)),
        ([[0.0, NEVER, 0.0, 0.0, 0.0]], Rule(1.0, 0, 0.75)),
        ([[0.0, 2.0, 1.0]], Rule(1.0, 0, 0.01)),
        ([[0.0, 2.0, 1.0]], Rule(1.0, 0, 1e-8)),  # 1 - top_p is 1 in float32
        ([[3.0, 2.0, 0.0, 0.0]], Rule(1.0, 2, 0.74)),
        ([[3.0, 2.0, 0.0, 0.0]], Rule(1.0, 2, 0.7)),  # 0.73 of what top_k keeps, 0.68 of all
        ([[3.0, 2.0, 2.0, 2.0]], Rule(1.0, 2, 0.6)),
        ([[0.0, 20.0, -20.0]], Rule(1.0, told=("top_k", "top_p"))),
        ([[0.0, -40.0]], Rule(1.0, told=("top_p",))),  # the first is 1 in every dtype
        ([[0.0, 1.0, -1.0]], Rule(1.0, told=("top_p",))),
        ([[0.0, 1.0, -1.0]], Rule(1.0, 2, told=("top_p",))),
        ([[0.0] * 3], Rule(1.0, 0, 0.66656)),
        ([[0.0] * 256], Rule(1.0, 0, 0.25)),
        ([[0.0] * 2048], Rule(1.0, 0, 0.75)),
        ([[0.0, 3.0, 2.0], [NAN] * 3, [2.0, 3.0, 0.0]], Rule(1.0, 0, 0.7)),
    )
    _spreads(context, cases)


def _spreads(context: CheckContext, cases: Sequence[tuple[list[Row], Rule]]) -> None:
    for rows, rule in cases:
        for dtype in DTYPES:
            context.cases += 1
            SamplingJudge(context).probabilities(
                rows, rule, shape=() if len(rows) == 1 else None, dtype=dtype
            )


def guess(p: float, q: float, u: float, token: int = 0) -> Guess:
    """Of two tokens, the one named having p and q."""
    rows = [(1 - q, q), (1 - p, p)] if token else [(q, 1 - q), (p, 1 - p)]
    return Guess(token, rows[0], rows[1], u)


def dice(context: CheckContext) -> None:
    """u at the bar, p = 0, q = 0, u = 0 and nearly 1; v at the end of a token's share, and within
    by a little."""
    single = (
        guess(0.25, 0.5, 0.5),
        guess(0.25, 0.5, 0.5 - 2**-10),
        guess(0.0, 0.5, 0.0),
        guess(0.0, 0.0, 0.0),
        guess(0.5, 0.0, LAST),
        guess(0.5, 0.5, LAST),
        guess(1.0, 1.0, 0.0, token=1),
        guess(0.125, 1.0, 0.125, token=1),
    )
    for one in single:
        _chains(context, [Chain((one,), EVEN, 0.75)])
    shares = ((0.0, 0.25, 0.0, 0.75), (0.25, 0.25, 0.5, 0.0))
    stands = Guess(1, shares[0], shares[0], 0.5)
    _chains(context, [Chain((guess(0.5, 0.25, 0.5),), (0.5 + FINE, 0.5 - FINE), 0.5)])
    for last, v in (
        (shares[0], 0.0),
        (shares[0], 0.25),
        (shares[1], 0.5),
        (shares[1], LAST),
        (shares[1], 0.25),
    ):
        _chains(context, [Chain((stands,), last, v)])


def afters(context: CheckContext) -> None:
    """What next is drawn from: what p has more of, elsewhere than where the guess fell; p_K; the
    row where it fell."""
    q, p = (0.5, 0.25, 0.25), (0.25, 0.25, 0.5)
    falls, stands, other = (
        Guess(0, q, p, 0.75),
        Guess(2, q, p, 0.75),
        Guess(2, (0.0, 0.25, 0.75), p, 0.5),
    )
    for row in (
        Chain((falls,), (1.0, 0.0, 0.0), 0.25),
        Chain(
            (Guess(0, (0.75, 0.25, 0.0, 0.0), (0.25, 0.25, 0.25, 0.25), 0.75),),
            (1.0, 0.0, 0.0, 0.0),
            0.25,
        ),
        Chain((stands,), (0.25, 0.5, 0.25), 0.5),
        Chain((other, falls, stands), (0.0, 1.0, 0.0), 0.25),
    ):
        _chains(context, [row])
    little = 2.0**-20
    short, none = (0.5, 0.5 - little, little), (0.5, 0.5, 0.0)
    _chains(context, [Chain((Guess(2, short, none, 0.5),), (1.0, 0.0, 0.0), 0.25)])
    surely, thin = _thinly()
    _chains(context, [Chain((Guess(0, surely, thin, 0.75),), surely, 0.25)])


def _thinly() -> tuple[Row, Row]:
    """A q that is certain, and a p whose other half is spread over thousands of tokens: each of
    them has little, and together they have as much as the one."""
    return (1.0, *(0.0,) * THIN), (0.5, *(0.5 / THIN,) * THIN)


def nearly_one(context: CheckContext) -> None:
    """The largest v, of weights that no format holds exactly: sums that are rounded in two ways
    differ by more."""
    chance = random.Random(context.seed)
    for dtype, v in LARGEST.items():
        drawn = [[*(chance.random() for _ in range(50)), 0.5, 0.0, 0.0] for _ in range(30)]
        rows = [[_held(x / sum(row), dtype) for x in row] for row in drawn]
        _chains(context, [Chain((), row, v) for row in rows], (dtype,))


def _held(x: float, dtype: str) -> float:
    """The number as that dtype holds it."""
    found: float = struct.unpack("f", struct.pack("f", x))[0] if dtype == "float32" else x
    return found


def nothing_left(context: CheckContext) -> None:
    """max(p - q, 0) is 0 everywhere, by rounding or because p is q: next is drawn from p itself."""
    least = 2**-10
    short = Guess(0, EVEN, (0.5 - least, 0.5), 1 - least / 4)
    for v in (0.25, 0.75):
        _chains(context, [Chain((short,), (0.0, 1.0), v), Chain((guess(0.25, 0.5, 0.75),), ONE, v)])


def beyond(context: CheckContext) -> None:
    """NaN and -inf where nobody looks: after the guess that fell. v: of p and of what is left, it
    draws two tokens."""
    for strange in (NAN, NEVER):
        row = (strange,) * 2
        for stood in (0, 1):
            good = (guess(0.5, 0.5, 0.25),) * stood
            lost = Guess(1, row, row, 0.25)
            _chains(context, [Chain((*good, guess(0.25, 0.5, 0.75), lost, lost), row, 0.125)])
            _chains(
                context,
                [Chain((*good, guess(0.25, 0.5, 0.75), lost), row, 0.125), _standing(2 + stood)],
            )


def _standing(count: int) -> Chain:
    return Chain((guess(0.5, 0.5, 0.25),) * count, (0.25, 0.75), 0.5)


def greedy(context: CheckContext) -> None:
    """At temperature 0 both models are certain: a guess stands where it is what the large one says,
    and so is next."""
    sure = [tuple(float(token == best) for token in range(4)) for best in range(4)]
    for said, wanted in (
        ((1, 2, 3), (1, 2, 3)),
        ((1, 2, 3), (1, 0, 3)),
        ((0, 2, 3), (1, 2, 3)),
        ((1, 2, 0), (1, 2, 3)),
    ):
        for u in (0.0, LAST):
            row = tuple(
                Guess(token, sure[token], sure[best], u)
                for token, best in zip(said, wanted, strict=True)
            )
            _chains(context, [Chain(row, sure[2], u)])


def large_chains(context: CheckContext) -> None:
    """As many tokens as a vocabulary has, as many rows as an engine decodes, as many guesses as
    anybody drafts."""
    far = MANY - 2
    q, p = [0.0] * MANY, [0.0] * MANY
    q[3], q[far], p[far], p[far + 1] = 0.5, 0.5, 0.25, 0.75
    _chains(context, [Chain((Guess(far, q, p, 0.75),), p, 0.5)], DTYPES[:1])
    for rows, count in ((130, 2), (2, 40)):
        several = []
        for row in range(rows):
            stood = row * 23 % (count + 1)
            fallen = [guess(0.25, 0.5, 0.75)] * (count - stood)
            several.append(
                Chain(
                    (*[guess(0.5, 0.25, 0.5, token=row % 2)] * stood, *fallen),
                    EVEN,
                    0.25 + 0.5 * (row % 2),
                )
            )
        _chains(context, several, DTYPES[:1])


def no_guesses(context: CheckContext) -> None:
    """K = 0: the large model alone."""
    _chains(context, [Chain((), (0.25, 0.75), 0.125), Chain((), (0.25, 0.75), 0.5)])


def _chains(context: CheckContext, rows: Sequence[Chain], dtypes: Sequence[str] = DTYPES) -> None:
    for dtype in dtypes:
        context.cases += 1
        SamplingJudge(context).accept_chain(rows, dtype=dtype)


def turns(context: CheckContext) -> None:
    """What the second candidate is judged by, once the first has fallen; a u at its bar; a dozen of
    them."""
    q, p = (0.5, 0.25, 0.25), (0.25, 0.25, 0.5)
    rest = (0.25, 0.25, 0.25, 0.25)
    one = (*(0.0,) * 15, 1.0)
    cases = (
        Siblings((0, 1), q, p, (0.75, 0.0), 0.5),
        Siblings((0, 2), q, p, (0.75, LAST), 0.5),
        Siblings(
            (0, 1), (0.5, 0.25, 0.125, 0.125), (0.25, 0.3125, 0.1875, 0.25), (0.75, 0.25), 0.5
        ),
        Siblings(
            (0, 1), (0.5, 0.25, 0.125, 0.125), (0.25, 0.3125, 0.1875, 0.25), (0.75, 0.75), 0.5
        ),
        Siblings((0, 1), (1.0, *[2.0**-40] * 2), (0.25, 0.3125, 0.4375), (0.75, 0.9375), 0.5),
        Siblings(  # q is as likely everywhere, and loses one token at a time
            (0, 1, 2, 3),
            (0.125,) * 8,
            (*(0.0625,) * 3, 0.3125, 0.5, 0.0, 0.0, 0.0),
            (0.75, 0.5, 0.5, 0.9375),
            0.5,
        ),
        Siblings((0,), q, p, (0.5,), 0.5),
        Siblings((0,), q, p, (0.5 - 2**-10,), 0.5),
        Siblings((0, 1, 2), rest, (0.125, 0.125, 0.25, 0.5), (0.75, 0.75, 0.25), 0.5),
        Siblings((3, 1, 0), rest, (0.5, 0.0, 0.5, 0.0), (0.25, 0.25, LAST), 0.25),
        Siblings(
            (2, 0), (0.0, 0.0, 1.0), (0.75, 0.25, 0.0), (0.0, LAST), 0.5
        ),  # q has lost all it had
        Siblings((2, 0), (0.0, 0.0, 1.0), (0.0, 0.5, 0.5), (0.75, 0.0), 0.5),
        Siblings((*range(4), 15), (1 / 16,) * 16, one, (0.5,) * 5, 0.5),
        Siblings((*range(11), 15), (1 / 16,) * 16, one, (0.5,) * 12, 0.5),
    )
    for row in cases:
        _siblings(context, [row], turns=True)


def left_over(context: CheckContext) -> None:
    """Every fall changes p. Nothing of it is left: the last is drawn from that was not 0, and
    nobody else stands."""
    least = 2**-10
    _siblings(context, [Siblings((0,), (0.5, 0.25, 0.25), (0.25, 0.25, 0.5), (0.75,), 0.25)])
    _siblings(context, [Siblings((0, 1), (0.5, 0.375, 0.125, 0.0), (0.25,) * 4, (0.75, 0.5), 0.25)])
    short = (0.25 - least, 0.25, 0.5)
    for u in (0.0, 0.5):
        row = Siblings((0, 1), (0.25, 0.25, 0.5), short, (1 - least, u), 0.125)
        _siblings(context, [row])
        _siblings(
            context, [row, Siblings((0, 1), (0.25, 0.25, 0.5), (0.25, 0.25, 0.5), (u, 0.5), 0.5)]
        )
    surely, thin = _thinly()
    _siblings(context, [Siblings((0,), surely, thin, (0.75,), 0.25)])
    for v in (0.0, 0.25, 0.5, LAST):
        _siblings(
            context, [Siblings((1,), (0.0, 1.0, 0.0, 0.0), (0.25, 0.0, 0.25, 0.5), (0.25,), v)]
        )


def large_siblings(context: CheckContext) -> None:
    """Many tokens, many rows."""
    far = MANY - 2
    q, p = [0.0] * MANY, [0.0] * MANY
    q[3], q[far], p[far], p[far + 1] = 0.5, 0.5, 0.25, 0.75
    _siblings(context, [Siblings((3, far), q, p, (0.25, 0.75), 0.5)], DTYPES[:1])
    rows = []
    for row in range(130):
        bars = [0.25 if turn == row % 4 else 0.75 for turn in range(3)]
        rows.append(
            Siblings((0, 1, 2), (0.25,) * 4, (0.125, 0.125, 0.125, 0.625), tuple(bars), 0.5)
        )
    _siblings(context, rows, DTYPES[:1])


def _siblings(
    context: CheckContext,
    rows: Sequence[Siblings],
    dtypes: Sequence[str] = DTYPES,
    *,
    turns: bool = False,
) -> None:
    for dtype in dtypes:
        context.cases += 1
        SamplingJudge(context).accept_siblings(rows, dtype=dtype, turns=turns)
