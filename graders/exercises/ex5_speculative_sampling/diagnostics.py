"""What is said of a wrong answer: the rule with the learner's own numbers put in, and what else
would give them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction

from graders.exercises.ex5_speculative_sampling import specification as spec
from graders.exercises.ex5_speculative_sampling.specification import (
    Chain,
    Row,
    Rule,
    Siblings,
    Spread,
)

Made = Callable[[Row, Rule], list[float]]
LONGEST = 8  # numbers of a row that are told
DUST = 1e-6  # a probability below it is lost in sums, not by a wrong rule


def number(x: float | Fraction) -> str:
    """ "0.25", "0.3333"; what is next to 1 is told from it."""
    text = f"{float(x):.4g}"
    return repr(float(x)) if text == "1" and x < 1 else text


def numbers(row: Sequence[float | Fraction]) -> str:
    more = ", …" if len(row) > LONGEST else ""
    return f"[{', '.join(map(number, row[:LONGEST]))}{more}]"


# ---------------------------------------------------------------- probabilities


def spread_fault(
    rows: Sequence[Row], row: int, rule: Rule, due: Spread, got: Sequence[float], token: int
) -> str:
    """What is wrong with a row's probabilities, at the first token that has another one than is
    due.

    rows: the logits of all rows.
    """
    logits = rows[row]
    said = f"token {token} has {number(got[token])} where {number(due.p[token])} is due"
    made = list(
        dict.fromkeys(words for words, make in MISTAKES if _alike(got, _tried(make, logits, rule)))
    )
    if not made and _alike(got, _over_rows(rows, row, rule)):
        made = ["a softmax over the rows: the vocabulary is the last dimension"]
    return f"{said}: {_why(logits, rule, due, got, token)}." + (
        f" Your numbers are those of {_or(made)}." * bool(made)
    )


def _or(words: Sequence[str]) -> str:
    return " or ".join(words[:2])


def _over_rows(rows: Sequence[Row], row: int, rule: Rule) -> list[float]:
    """A row's probabilities when each token's logits are weighed against those of the other rows."""
    columns = [[logits[token] for logits in rows] for token in range(len(rows[row]))]
    weighed = [
        _tried(lambda logits, rule: spec.softmax(logits, rule.temperature), each, rule)
        for each in columns
    ]
    return [column[row] for column in weighed if column]


def _why(logits: Row, rule: Rule, due: Spread, got: Sequence[float], token: int) -> str:
    if rule.temperature == 0:
        best = spec.top_token(logits)
        return (
            f"at temperature 0 all weight is on token {best}, the first of the largest logits "
            f"({number(logits[best])})"
        )
    if due.p[token] == 0 and logits[token] == -math.inf:
        return "its logit is -inf"
    if due.p[token] == 0 and logits[token] < due.least:
        return f"its logit {number(logits[token])} is below the {_nth(rule.top_k)} largest, {number(due.least)}"
    held = f"those before it hold {number(due.before[token])}"
    if due.p[token] == 0:
        return f"{held}, which reaches top_p = {rule.top_p}"
    later = next(
        (at for at in range(token + 1, len(got)) if got[at] > 0 and logits[at] == logits[token]),
        None,
    )
    if got[token] == 0 and rule.top_p < 1 and later is not None:
        return f"{held}, less than top_p = {rule.top_p}; of equals the lower index comes first, you kept token {later}"
    if got[token] == 0 and rule.top_p < 1:
        return f"{held}, less than top_p = {rule.top_p}, so it is needed to reach it"
    if got[token] == 0 and logits[token] == due.least:
        return f"its logit equals the {_nth(rule.top_k)} largest, {number(due.least)}: those as likely as it stay"
    if got[token] == 0 and due.p[token] < DUST:
        return "small as it is, no rule leaves it out"
    whole = math.fsum(got)
    if not math.isnan(whole) and abs(whole - 1) > 1e-3:
        return f"what is kept sums to 1; yours sums to {number(whole)}"
    return f"softmax of logits / {rule.temperature}" + (
        " over what is kept" if rule.top_k or rule.top_p < 1 else ""
    )


def _nth(place: int) -> str:
    return {1: "first", 2: "second", 3: "third"}.get(place, f"{place}th")


def _alike(got: Sequence[float], other: Sequence[float]) -> bool:
    pairs = zip(got, other, strict=False)
    return len(got) == len(other) and all(
        (abs(x - y) < 1e-4 and (x == 0) == (y == 0)) or (x != x and y != y) for x, y in pairs
    )


def _tried(make: Made, logits: Row, rule: Rule) -> list[float]:
    try:
        return make(logits, rule)
    except (ArithmeticError, ValueError, IndexError):
        return []


def _warm(power: int) -> Made:
    """A softmax alone, of logits / temperature ** power."""

    def make(logits: Row, rule: Rule) -> list[float]:
        return spec.softmax(logits, rule.temperature**power) if rule.temperature != 1 else []

    return make


def _kept(logits: Row, rule: Rule, top_k: int) -> list[float]:
    """With another top_k; nothing where 0 would stand for all, or there is none."""
    return (
        spec.spread(logits, Rule(rule.temperature, top_k, rule.top_p)).p
        if rule.top_k and top_k
        else []
    )


MISTAKES: tuple[tuple[str, Made], ...] = (
    ("no top_k", lambda logits, rule: spec.spread(logits, Rule(rule.temperature, 0, rule.top_p)).p),
    ("no top_p", lambda logits, rule: spec.spread(logits, Rule(rule.temperature, rule.top_k)).p),
    ("a softmax of the logits, not divided by the temperature", _warm(0)),
    ("logits that were multiplied by the temperature", _warm(-1)),
    ("one token less than top_k", lambda logits, rule: _kept(logits, rule, rule.top_k - 1)),
    ("one token more than top_k", lambda logits, rule: _kept(logits, rule, rule.top_k + 1)),
)


# ---------------------------------------------------------------- a chain


def count_fault(chain: Chain, got: int) -> str:
    """The guess on which the two counts part."""
    place = min(max(got, 0), chain.count)
    if not 0 <= got <= len(chain.guesses) or place >= len(chain.guesses):
        return f"count is {got}, where {chain.count} of {len(chain.guesses)} guesses stand."
    guess = chain.guesses[place]
    p, q = guess.p[guess.token], guess.q[guess.token]
    does = "stands" if guess.stands else "falls, and ends it"
    rule = f"it stands when u < min(1, p / q) = {number(guess.bar)}, and u is {number(guess.u)}: it {does}"
    return f"guess {place}, token {guess.token}, has p = {number(p)} and q = {number(q)}; {rule}. Your count is {got}."


def next_fault(chain: Chain, got: int) -> str:
    """What `next` is drawn from, and what else would give the learner's."""
    v = Fraction(chain.v)
    if chain.count == len(chain.guesses):
        what = (
            f"all guesses stood, so next is drawn from p[{chain.count}] = {numbers(chain.weights)}"
        )
        others = {f"p[{place}]": spec.exact(one.p) for place, one in enumerate(chain.guesses)}
    else:
        fell = chain.guesses[chain.count]
        left = spec.missing(spec.exact(fell.p), spec.exact(fell.q))
        source = "max(p - q, 0)" if any(left) else "p, since max(p - q, 0) is 0 everywhere,"
        what = f"guess {chain.count} fell, so next is drawn from {source} there = {numbers(chain.weights)}"
        others = {"p itself": spec.exact(fell.p), "q": spec.exact(fell.q)}
        others["max(q - p, 0)"] = spec.missing(spec.exact(fell.q), spec.exact(fell.p))
    return f"{what}, with v = {number(chain.v)}: {chain.next}, not {got}.{_else(others, v, got)}"


def _else(others: dict[str, list[Fraction]], v: Fraction, got: int) -> str:
    """Of what a draw with the same v would have given that token."""
    found = [
        name for name, weights in others.items() if any(weights) and spec.drawn(weights, v) == got
    ]
    return f" (From {found[0]} it would be {got}.)" if found else ""


# ---------------------------------------------------------------- candidates


def siblings_fault(row: Siblings, which: int, got: int) -> str:
    """The turn on which the two answers part, or the draw at the end."""
    if which == row.which:
        if which >= 0:
            return f"candidate {which} stands, so next is its token {row.next}, not {got}."
        v, first = Fraction(row.v), spec.exact(row.p)
        what = (
            f"no candidate stands, so next is drawn from the p that is left, {numbers(row.weights)}"
        )
        others = {"the p of the beginning": first, "q": spec.exact(row.q)}
        return f"{what}, with v = {number(row.v)}: {row.next}, not {got}.{_else(others, v, got)}"
    ends = [end if end >= 0 else len(row.tokens) for end in (which, row.which)]
    place = min(ends)
    if not -1 <= which < len(row.tokens) or place >= len(row.turns):
        return f"which is {which}, where {row.which} is due."
    turn, token = row.turns[place], row.tokens[place]
    does = "stands" if turn.stands else "falls"
    now = f"p = {number(turn.p[token])} of {numbers(turn.p)} and q = {number(turn.q[token])} of {numbers(turn.q)}"
    rule = f"it stands when u < {number(turn.bar)}, and u is {number(row.u[place])}: it {does}"
    return (
        f"candidate {place}, token {token}, has {now} in its turn; {rule}. Your answer is {which}."
    )
