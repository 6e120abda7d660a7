"""Exercise 5 drawn: a chain of guesses, place by place, and what thousands of dice make of its
first place."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rich.text import Text

from course.errors import Problem

WORDS = ("the", "soup", "fish", "pie", "costs", "is", "twelve", "ten")
QUESTION = "What do you recommend, and what does it cost?"
DRAFT = (0, 1, 4, 6)
Q = (
    (0.75, 0.0, 0.0, 0.0, 0.0, 0.25, 0.0, 0.0),
    (0.0, 0.5, 0.25, 0.25, 0.0, 0.0, 0.0, 0.0),
    (0.0, 0.0, 0.0, 0.0, 0.75, 0.25, 0.0, 0.0),
    (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.75, 0.25),
)
P = (
    (0.875, 0.0, 0.0, 0.0, 0.0, 0.125, 0.0, 0.0),
    (0.0, 0.375, 0.125, 0.5, 0.0, 0.0, 0.0, 0.0),
    (0.0, 0.0, 0.0, 0.0, 0.5, 0.5, 0.0, 0.0),
    (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.25, 0.75),
    (0.25, 0.25, 0.25, 0.25, 0.0, 0.0, 0.0, 0.0),
)
U, V = (0.9, 0.4, 0.3, 0.6), 0.5
DICE = 4096
WIDTH = 24  # characters of a bar that is 1
STOOD, FELL, LACKING = "bold green", "dim", "yellow"


@dataclass(frozen=True, slots=True)
class Place:
    """One place of the text: the distributions there, and the guess with its die, if there is one."""

    q: Sequence[float]
    p: Sequence[float]
    guess: int | None = None
    u: float = 0.0


@dataclass(frozen=True, slots=True)
class GuessChain:
    """A chain as the part judged it. shares: how often it says each word in the second place, over
    many dice."""

    places: tuple[Place, ...]
    count: int
    next: int
    stood: float
    shares: tuple[float, ...]


def show(part: Any) -> list[Text]:
    """What `course show` draws of a module that accepts."""
    return draw(play(part))


def play(part: Any) -> GuessChain:
    """One chain, then the guess for its second place with a grid of dice."""
    import torch

    q, p = (part.probabilities(torch.tensor([rows]).log(), temperature=1.0) for rows in (Q, P))
    accepted = part.accept_chain(torch.tensor([DRAFT]), q, p, torch.tensor([U]), torch.tensor([V]))
    count, following = int(accepted.count[0]), int(accepted.next[0])
    if not (0 <= count <= len(DRAFT) and 0 <= following < len(WORDS)):
        raise Problem(
            f"this part answers count {count} and next {following}: there are {len(DRAFT)} guesses."
        )
    draft = torch.tensor(
        [word for word, share in enumerate(Q[1]) for _ in range(round(DICE * share))]
    )
    u, v = (((torch.arange(DICE) * step) % DICE + 0.5) / DICE for step in (1237, 2741))
    many = part.accept_chain(
        draft[:, None],
        q[:, 1:2].expand(DICE, -1, -1),
        p[:, 1:3].expand(DICE, -1, -1),
        u[:, None],
        v,
    )
    said = torch.where(many.count > 0, draft, many.next)
    shares = tuple(float((said == word).float().mean()) for word in range(len(WORDS)))
    places = [Place(*rows) for rows in zip(q[0].tolist(), p[0].tolist(), DRAFT, U, strict=False)]
    places.append(Place([0.0] * len(WORDS), p[0, -1].tolist()))
    return GuessChain(tuple(places), count, following, float(many.count.float().mean()), shares)


def draw(chain: GuessChain) -> list[Text]:
    """The places up to the first that fell, what was said, and the shares."""
    lines = [
        Text(QUESTION),
        Text("█ stands, min(p, q)   · q alone: falls   + p alone: drawn instead", style="dim"),
        Text(),
    ]
    for number, place in enumerate(chain.places[: chain.count + 1]):
        lines += [_verdict(number, place, number < chain.count), *_bars(place), Text()]
    void = len(DRAFT) - chain.count - 1
    said = [*(WORDS[word] for word in DRAFT[: chain.count]), WORDS[chain.next]]
    behind = f", {void} guess{'es' * (void != 1)} behind it void" if void > 0 else ""
    lines.append(
        Text.assemble(
            "Said in one pass: ",
            (" ".join(said), STOOD),
            (f"   {chain.count} stood{behind}", "dim"),
        )
    )
    return [*lines, Text(), *_shares(chain)]


def _verdict(number: int, place: Place, stood: bool) -> Text:
    if place.guess is None:
        return Text(f"place {number + 1}  all stood: drawn from p with v = {V}", style="bold")
    p, q = place.p[place.guess], place.q[place.guess]
    bar = min(1.0, p / q) if q else float(p > 0)
    what, style = ("stands", STOOD) if stood else ("falls", FELL)
    rule = f"   p {p:.3f}, q {q:.3f}: stands below {bar:.2f}; u = {place.u:.2f}: "
    return Text.assemble(
        (f"place {number + 1}  {WORDS[place.guess]!r}", "bold"), rule, (what, style)
    )


def _bars(place: Place) -> Iterator[Text]:
    for word, (q, p) in enumerate(zip(place.q, place.p, strict=True)):
        if not (q > 0 or p > 0) or math.isnan(q + p):
            continue
        both, mine, theirs = (round(WIDTH * max(0.0, share)) for share in (min(p, q), q - p, p - q))
        name = f"{WORDS[word]:>8}  "
        yield Text.assemble(name, ("█" * both, STOOD), ("·" * mine, FELL), ("+" * theirs, LACKING))


def _shares(chain: GuessChain) -> Iterator[Text]:
    overlap = sum(map(min, P[1], Q[1]))
    yield Text(
        f"Place 2 with {DICE} dice: the guess stands in {chain.stood:.1%}; the overlap of p and q is {overlap:.1%}"
    )
    for word, share in enumerate(chain.shares):
        if share or P[1][word]:
            numbers = f"said {share:6.1%}   p {P[1][word]:6.1%}   q {Q[1][word]:6.1%}"
            yield Text(
                f"{WORDS[word]:>8}  {numbers}",
                style="" if abs(share - P[1][word]) < 0.02 else "bold red",
            )
