"""What the formulas of lab 4 are right about: every way that guesses can fall, weighed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

from graders.checking.formulas import Formula, Mistake, Question

Path = tuple[int, ...]
Share = Mapping[Path, float]
FEW = 4  # nodes of a tree that are told one by one


def chain(alpha: float, depth: int) -> float:
    """Each way: so many guesses stand, and the next falls, or there is none."""
    exact = Fraction(alpha)
    ways = [
        (exact**stood * (1 - exact if stood < depth else 1), stood) for stood in range(depth + 1)
    ]
    return float(sum(chance * (stood + 1) for chance, stood in ways))


def nodes(choices: Sequence[Path]) -> set[Path]:
    """Every path and every beginning of one, the empty one left out."""
    return {choice[:depth] for choice in choices for depth in range(1, len(choice) + 1)}


def chance_of(path: Path, share: Share) -> Fraction:
    """That all of a path stands."""
    found = Fraction(1)
    for depth in range(1, len(path) + 1):
        found *= Fraction(share[path[:depth]])
    return found


def tree(choices: Sequence[Path], share: Share) -> float:
    """Walked from the root: what is yielded below a node, if it stands."""
    inside = nodes(choices)

    def yielded(path: Path) -> Fraction:
        children = [node for node in inside if node[:-1] == path]
        return sum(
            (Fraction(share[child]) * (1 + yielded(child)) for child in children), Fraction(0)
        )

    return float(1 + yielded(()))


def best(share: Share, size: int) -> list[Path]:
    """Guess by guess, each time the one that is worth most of those whose beginning is there."""
    chosen: list[Path] = []
    while len(chosen) < size:
        open_ones = [
            path for path in share if path not in chosen and (len(path) == 1 or path[:-1] in chosen)
        ]
        if not open_ones:
            break
        chosen.append(min(open_ones, key=lambda path: (-chance_of(path, share), path)))
    return sorted(chosen)


def speed_up(tokens_a_pass: float, pass_cost: float) -> float:
    """Tokens in the time of a plain step, which yields one."""
    return float(Fraction(tokens_a_pass) / Fraction(pass_cost))


# ---------------------------------------------------------------- what is often meant instead


def _weighed(
    weigh: Callable[[Path, Share], float], *, prefixes: bool = True, own: int = 1
) -> Callable[..., float]:
    def formula(choices: Sequence[Path], share: Share) -> float:
        inside = nodes(choices) if prefixes else set(choices)
        return own + sum(weigh(path, share) for path in inside)

    return formula


def _repeated(choices: Sequence[Path], share: Share) -> float:
    return 1 + sum(float(chance_of(path, share)) for path in choices)


def _each_choice_with_all(choices: Sequence[Path], share: Share) -> float:
    beginnings = [choice[:depth] for choice in choices for depth in range(1, len(choice) + 1)]
    return 1 + sum(float(chance_of(path, share)) for path in beginnings)


def _deepest(choices: Sequence[Path], share: Share) -> float:
    return max([tree([choice], share) for choice in choices], default=1.0)


def _ranked(weigh: Callable[[Path, Share], Any]) -> Callable[..., list[Path]]:
    return lambda share, size: sorted(sorted(share, key=lambda path: weigh(path, share))[:size])


def _exact(path: Path, share: Share) -> float:
    return float(chance_of(path, share))


def _probes() -> Iterator[Question]:
    share = {
        (0,): 0.5,
        (1,): 0.25,
        (2,): 0.125,
        (0, 0): 0.75,
        (0, 1): 0.125,
        (1, 0): 0.625,
        (0, 0, 0): 0.875,
    }
    yield Question.of([(0, 0, 0), (1, 0), (2,), (1, 0)], share=share)
    yield Question.of([(0, 1), (0, 0)], share=share)


def _what_stands(got: object, choices: Sequence[Path], share: Share) -> str:
    """Of a small tree, how often each of its nodes stands."""
    told = [f"{path} in {_exact(path, share):g}" for path in sorted(nodes(choices))]
    return f"Of all passes {', '.join(told)} stand." if 0 < len(told) <= FEW else ""


def _why_not_best(got: object, share: Share, size: int) -> str:
    """What a tree that is not the best lacks."""
    if not isinstance(got, list) or not all(path in share for path in map(_hashable, got)):
        return "It has to be a list of paths, tuples of ranks that `share` has."
    if len(set(got)) < len(got):
        return "A path is in it twice."
    gaps = sorted(nodes(got) - set(got))
    if gaps:
        return f"The beginning {gaps[0]} of a path in it is not in it."
    due = best(share, size)
    if len(got) != len(due):
        return f"{len(due)} paths are due, not {len(got)}."
    mine, theirs = tree(got, share), tree(due, share)
    if mine < theirs:
        return f"It yields {mine:g} tokens a pass, the best of that size {theirs:g}."
    return "It yields as much, but of equals the lower tuple is taken first."


def _hashable(path: object) -> Path:
    """The path itself; the empty one, which no mapping has, for anything else."""
    return path if isinstance(path, tuple) and all(type(rank) is int for rank in path) else ()


CHAIN = Formula(
    "tokens_a_pass_chain",
    chain,
    mistakes=(
        Mistake("the model's own token is left out", lambda alpha, depth: chain(alpha, depth) - 1),
        Mistake("the last guess is left out", lambda alpha, depth: chain(alpha, depth - 1)),
        Mistake("one guess too many is made", lambda alpha, depth: chain(alpha, depth + 1)),
        Mistake("guesses behind one that fell count, too", lambda alpha, depth: 1 + alpha * depth),
        Mistake("all guesses have to stand", lambda alpha, depth: 1 + depth * alpha**depth),
    ),
    probes=(Question.of(0.5, depth=3), Question.of(0.75, depth=2)),
)
TREE = Formula(
    "tokens_a_pass_tree",
    tree,
    mistakes=(
        Mistake("the model's own token is left out", _weighed(_exact, own=0)),
        Mistake("what stands above a guess is left out", _weighed(lambda path, share: share[path])),
        Mistake(
            "beginnings that are not in `choices` are left out", _weighed(_exact, prefixes=False)
        ),
        Mistake(
            "what stands above a guess is left out, and beginnings that are not in `choices` as well",
            _weighed(lambda path, share: share[path], prefixes=False),
        ),
        Mistake("a choice that is listed twice counts twice", _repeated),
        Mistake("a beginning counts once for each choice that has it", _each_choice_with_all),
        Mistake("only the best path counts", _deepest),
    ),
    probes=tuple(_probes()),
    remark=_what_stands,
)
BEST = Formula(
    "best_choices",
    best,
    mistakes=(
        Mistake(
            "what stands above a guess is left out",
            _ranked(lambda path, share: (-share[path], path)),
        ),
        Mistake(
            "of equals the shorter is taken first",
            _ranked(lambda path, share: (-chance_of(path, share), len(path), path)),
        ),
        Mistake(
            "of equals the higher is taken first",
            _ranked(lambda path, share: (-chance_of(path, share), tuple(-rank for rank in path))),
        ),
        Mistake(
            "shallow guesses are always taken first", _ranked(lambda path, share: (len(path), path))
        ),
        Mistake(
            "the least likely are taken",
            _ranked(lambda path, share: (chance_of(path, share), path)),
        ),
    ),
    probes=(
        Question.of(
            {(0,): 0.5, (1,): 0.375, (2,): 0.125, (0, 0): 0.75, (0, 1): 0.125, (1, 0): 1.0}, size=4
        ),
        Question.of({(0,): 0.25, (0, 0): 1.0, (1,): 0.5, (1, 0): 0.5, (2,): 0.25}, size=2),
    ),
    remark=_why_not_best,
)
SPEED_UP = Formula(
    "speed_up",
    speed_up,
    mistakes=(
        Mistake(
            "the cost is divided by the tokens",
            lambda tokens_a_pass, pass_cost: pass_cost / tokens_a_pass,
        ),
        Mistake(
            "the two are multiplied", lambda tokens_a_pass, pass_cost: pass_cost * tokens_a_pass
        ),
        Mistake(
            "the gain over 1 is given",
            lambda tokens_a_pass, pass_cost: tokens_a_pass / pass_cost - 1,
        ),
    ),
    probes=(Question.of(2.5, pass_cost=1.25),),
)
