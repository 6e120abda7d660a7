"""Law 3.9: match and insert look at each token a few times, however long the text and however full
the cache.

Counted, not timed: the tokens are ints that count how often they are compared, hashed or written
out, in a list that counts how many of them a slice copies. Each text is made of new objects, so
nothing can be told by identity. What is done with copies of the tokens is not counted; so a match
of a text sixteen times as long is timed as well. What a call costs beside its tokens, in a full
cache or on a long path, is the matter of `fullness`.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from typing import Any, NoReturn

from graders.checking.check_context import CheckContext
from graders.checking.complexity import Cost, Growth
from graders.checking.failure import Step
from graders.checking.replies import shown
from graders.exercises.ex3_prefix_cache.cache_growth import ShelfRecorder, fullness
from graders.result import Figure
from graders.sandbox import protocol
from graders.simulation.backend import items

SIZE = 16  # tokens a block of the match whose time is shown; where work is judged, sizes are drawn
# at each token, at most; a second look at all that went before costs a hundred times as much
LOOKS = 12
SHOWN = 32_768  # tokens of the match whose time is shown
TIMES = 20
LONGER, DEARER = 16, 4.0  # a text so many times as long may cost so much more than in proportion
ROUNDS, PASSES = 3, 4
LEAST = 5e-5  # seconds: the wire alone takes as long for a short text


def linear_work(context: CheckContext) -> None:
    """Raise Broken when tokens are looked at more than LOOKS times each, or when a call looks
    through the cache."""
    chance = random.Random(context.seed)
    size = chance.randrange(12, 20)
    length = size * chance.randrange(220, 300)
    many = chance.randrange(300, 500)
    long = _text(chance, length)
    part = [*long[: length // 2], *_text(chance, length // 2)]
    crowd = [_text(chance, 2 * size) for _ in range(many)]
    siblings = [[*long[:size], *text] for text in crowd]
    _weigh(context, size, [long], _new_end(chance, long, size), f"a text of {length} tokens")
    _weigh(
        context,
        size,
        [long, part],
        _new_end(chance, part, size),
        f"a text of {length} tokens, half of them stored",
    )
    last = _new_end(chance, crowd[chance.randrange(many)], size)
    _weigh(context, size, crowd, last, f"a text of {len(last)} tokens, beside {many - 1} others")
    _weigh(
        context, size, siblings, _new_end(chance, siblings[0], size), "a text with many siblings"
    )
    _grow(context, chance, size)
    fullness(context)
    _show(context, _text(chance, SHOWN))


def _new_end(chance: random.Random, text: list[int], size: int) -> list[int]:
    """The text but for its last block, which nobody has stored: an answer that is remembered is
    none to this."""
    return [*text[:-size], *_text(chance, size)]


def _weigh(
    context: CheckContext, size: int, texts: list[list[int]], asked: list[int], what: str
) -> None:
    recorder = _recorder(context, size)
    written = f"insert({what}), then match it with another last block"
    reply = recorder.value("weigh", [texts, asked, size], written)
    recorder.method = "match"
    inserting, matching, *returned = recorder.parsed(lambda: items(reply, 5))
    lengths = (len(texts[-1]), len(asked))
    told = (_looks("insert", inserting, lengths[0]), _looks("match", matching, lengths[1]))
    recorder.steps[-1].answer = "; ".join(told)
    if repr(returned) != repr(_due(size, texts, asked)):
        message = f"`insert` and `match` of {what} returned something else than they have to."
        recorder.broken(
            message, got=_answers(returned), expected=_answers(_due(size, texts, asked))
        )
    looks_of = recorder.parsed(lambda: protocol.integers([inserting, matching]))
    for method, looks, length in zip(("insert", "match"), looks_of, lengths, strict=True):
        if looks > LOOKS * length:
            _too_much(recorder, method, what, looks, length)
    context.cases += 1


def _due(size: int, texts: list[list[int]], asked: list[int]) -> list[Any]:
    """What the last insert says was held already, and the match that is due: its length, its
    blocks."""
    stored: dict[tuple[int, ...], int] = {}
    block = reused = 0
    for text in texts:
        reused = 0
        for end in range(size, len(text) + 1, size):
            block += 1
            reused += size * (tuple(text[:end]) in stored)
            stored.setdefault(tuple(text[:end]), block)
    prefixes = (tuple(asked[:end]) for end in range(size, len(asked) + 1, size))
    found = list(itertools.takewhile(bool, (stored.get(prefix, 0) for prefix in prefixes)))
    return [reused, size * len(found), found]


def _grow(context: CheckContext, chance: random.Random, size: int) -> None:
    """Raise Broken if a long match costs out of proportion. CPU time of the worker, the wire's
    share in it."""
    blocks = chance.randrange(110, 140)
    for _ in range(ROUNDS):
        short, long = (_cost(context, size, count, chance) for count in (blocks, blocks * LONGER))
        growth = Growth("match", short, long, linear=True)
        if not growth.exceeds(DEARER):
            return
    recorder = _recorder(context, size)
    recorder.steps.append(Step(f"match of {short.size} tokens: {short}, of {long.size}: {long}"))
    message = (
        f"`match` of a text {LONGER} times as long costs {growth.dearer} as much ({short} for "
        f"{short.size} tokens, "
    )
    message += f"{long} for {long.size}): is a block hashed with all before it?"
    recorder.broken(message, got=f"{growth.dearer} as much", expected=growth.due, method="match")


def _cost(context: CheckContext, size: int, blocks: int, chance: random.Random) -> Cost:
    """CPU time of matching most of a long text, and then something else: the cheapest of a few,
    each asked once."""
    recorder = _recorder(context, size)
    recorder.value("shelf", [size, blocks, 2], "texts of the shelf")
    recorder.value("store", [1, blocks], "insert(…)")
    spent = []
    for _ in range(PASSES):
        before = context.worker.cpu_seconds()
        recorder.answered([("find", [1, blocks - chance.randrange(blocks // 16)])], 1)
        spent.append(context.worker.cpu_seconds() - before)
    return Cost(size * blocks, max(LEAST, min(spent)) * 1e6, "µs")


def _show(context: CheckContext, text: Sequence[int]) -> None:
    """Figure: the CPU time of a long match, the copying of its list included."""
    recorder = _recorder(context, SIZE)
    recorder.value("fill", [text, SIZE], "insert(…)")
    spent = recorder.again([("match", [list(text)])], TIMES) / TIMES
    context.figures.append(
        Figure(f"match of {SHOWN} tokens", round(spent * 1e6), "µs", note="CPU time of the worker")
    )


def _recorder(context: CheckContext, size: int) -> ShelfRecorder:
    recorder = ShelfRecorder(context)
    raised = recorder.new([size], {}, f"PrefixCache(block_size={size})")
    if raised:
        recorder.unexpected(raised, "a prefix cache")
    return recorder


def _too_much(recorder: ShelfRecorder, method: str, what: str, looks: int, length: int) -> NoReturn:
    message = f"`{method}` of {what} looks at its tokens {looks} times, {looks / max(1, length):.3g} times each: "
    message += "compare and hash every block once."
    got = f"{looks} looks at tokens, {looks / max(1, length):.3g} at each"
    recorder.broken(
        message, got=got, expected=f"at most {LOOKS * length} looks, {LOOKS} at each", method=method
    )


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
