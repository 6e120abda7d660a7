"""Law 3.10: match and insert look at each token a few times, however long the text and however full the cache.

Counted, not timed: the tokens are ints that count how often they are compared, hashed or written out, in a list that
counts how many of them a slice copies. Each text is made of new objects, so nothing can be told by identity. What is
done with copies of the tokens is not counted; so a match of a text sixteen times as long is timed as well.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, NoReturn

from graders import wire
from graders.bench import Bench
from graders.failure import Step
from graders.replies import Raised, Returned, shown
from graders.result import Figure
from graders.stage import Stage
from graders.symbolic.side import items

SIZE = 16
LOOKS = 12  # at each token, at most
LONG = 4096  # tokens of a long text; a second look at all that went before costs LONG / SIZE / 2 times as much
MANY = 400  # short texts side by side
SHOWN = 32_768  # tokens of the match whose time is shown
TIMES = 20
LONGER, DEARER = 16, 64  # a text so many times as long may cost so many times as much; squared it would be 256
ROUNDS, PASSES = 3, 2
LEAST = 5e-5  # seconds: the wire alone takes as long for a short text


def linear_work(bench: Bench) -> None:
    """Raise Broken when tokens are looked at more than LOOKS times each."""
    chance = random.Random(bench.seed)
    long = _text(chance, LONG)
    part = [*long[: LONG // 2], *_text(chance, LONG // 2)]
    crowd = [_text(chance, 2 * SIZE) for _ in range(MANY)]
    _weigh(bench, [long], long, f"a text of {LONG} tokens")
    _weigh(bench, [long, part], part, f"a text of {LONG} tokens, half of them stored")
    _weigh(bench, crowd, crowd[MANY // 2], f"a text of {2 * SIZE} tokens, beside {MANY - 1} others")
    _weigh(bench, [[*long[:SIZE], *text] for text in crowd], [*long[:SIZE], *crowd[0]], "a text with many siblings")
    _grow(bench, chance)
    _show(bench, _text(chance, SHOWN))


def _weigh(bench: Bench, texts: list[list[int]], asked: list[int], what: str) -> None:
    stage = _stage(bench)
    written = f"insert({what}), then match it"
    reply = _call(stage, "weigh", [texts, asked, SIZE], written)
    inserting, matching, *returned = stage.parsed(lambda: items(reply, 5))
    lengths = (len(texts[-1]), len(asked))
    told = (_looks("insert", inserting, lengths[0]), _looks("match", matching, lengths[1]))
    stage.steps[-1].answer = "; ".join(told)
    if repr(returned) != repr(_due(texts, asked)):
        message = f"`insert` and `match` of {what} returned something else than they have to."
        stage.broken(message, got=_answers(returned), expected=_answers(_due(texts, asked)))
    looks_of = stage.parsed(lambda: wire.integers([inserting, matching]))
    for method, looks, length in zip(("insert", "match"), looks_of, lengths, strict=True):
        if looks > LOOKS * length:
            _too_much(stage, method, what, looks, length)
    bench.cases += 1


def _due(texts: list[list[int]], asked: list[int]) -> list[Any]:
    """What the last insert says was held already, and the match that is due: its length, its blocks."""
    stored: dict[tuple[int, ...], int] = {}
    block = reused = 0
    for text in texts:
        reused = 0
        for end in range(SIZE, len(text) + 1, SIZE):
            block += 1
            reused += SIZE * (tuple(text[:end]) in stored)
            stored.setdefault(tuple(text[:end]), block)
    found = [stored[tuple(asked[:end])] for end in range(SIZE, len(asked) + 1, SIZE)]
    return [reused, len(asked), found]


def _grow(bench: Bench, chance: random.Random) -> None:
    """Raise Broken if a long match costs out of proportion. CPU time of the worker, the wire's share in it."""
    short, long = (_cost(bench, _text(chance, length)) for length in (SHOWN // LONGER, SHOWN))
    if long > DEARER * short:
        times = f"{long / short:.0f} times"
        stage = _stage(bench)
        costs = f"match of {SHOWN // LONGER} tokens: {short * 1e6:.0f} µs, of {SHOWN}: {long * 1e6:.0f} µs"
        stage.steps.append(Step(costs))
        message = (
            f"`match` of a text {LONGER} times as long costs {times} as much: is a block hashed with all before it?"
        )
        stage.broken(message, got=times, expected=f"about {LONGER} times", method="match")


def _cost(bench: Bench, text: list[int]) -> float:
    """Seconds of a match of the whole text, the quickest of a few."""
    stage = _stage(bench)
    _call(stage, "fill", [text, SIZE], "insert(…)")
    spent = []
    for _ in range(ROUNDS):
        before = bench.worker.cpu_seconds()
        stage.answered([("match", [text, None, 0])], PASSES)
        spent.append((bench.worker.cpu_seconds() - before) / PASSES)
    return max(LEAST, min(spent))


def _show(bench: Bench, text: Sequence[int]) -> None:
    """Figure: the CPU time of a long match, the copying of its list included."""
    stage = _stage(bench)
    _call(stage, "fill", [text, SIZE], "insert(…)")
    before = bench.worker.cpu_seconds()
    stage.again([("match", [list(text)])], TIMES)
    spent = (bench.worker.cpu_seconds() - before) / TIMES
    bench.figures.append(Figure(f"match of {SHOWN} tokens", round(spent * 1e6), "µs", note="CPU time of the worker"))


def _stage(bench: Bench) -> Stage:
    stage = Stage(bench, "prefix_cache", "cache")
    raised = stage.new([SIZE], {}, f"PrefixCache(block_size={SIZE})")
    if raised:
        stage.unexpected(raised, "a prefix cache")
    return stage


def _call(stage: Stage, method: str, args: list[Any], written: str) -> Any:
    reply, _ = stage.call(method, args, written)
    stage.method = "match"
    if isinstance(reply, Raised):
        stage.unexpected(reply, "no exception")
    assert isinstance(reply, Returned)
    return reply.value


def _too_much(stage: Stage, method: str, what: str, looks: int, length: int) -> NoReturn:
    message = f"`{method}` of {what} looks at its tokens {looks} times, {looks / max(1, length):.3g} times each: "
    message += "compare and hash every block once."
    got = f"{looks} looks at tokens, {looks / max(1, length):.3g} at each"
    stage.broken(message, got=got, expected=f"at most {LOOKS * length} looks, {LOOKS} at each", method=method)


def _looks(method: str, looks: Any, length: int) -> str:
    """ "match: 479 looks at 32 tokens, 15 at each; 12 are allowed"."""
    each = f"{looks / max(1, length):.3g}" if type(looks) is int else shown(looks)
    return f"{method}: {shown(looks)} looks at {length} tokens, {each} at each, {LOOKS} allowed"


def _answers(values: Sequence[Any]) -> str:
    """What `insert` said and `match` found, by name."""
    reused, length, blocks = map(shown, values)
    return f"insert reused={reused}; match length={length}, blocks={blocks}"


def _text(chance: random.Random, length: int) -> list[int]:
    return [chance.randrange(50_000) for _ in range(length)]
