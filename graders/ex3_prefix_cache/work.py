"""Law 3.10: match and insert look at each token a few times, however long the text and however full the cache.

Counted, not timed: the tokens are ints that count how often they are compared, hashed or written out, in a list that
counts how many of them a slice copies. Each text is made of new objects, so nothing can be told by identity.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, NoReturn

from graders.bench import Bench
from graders.result import Figure
from graders.stage import Raised, Returned, Stage

SIZE = 16
LOOKS = 12  # at each token, at most
LONG = 4096  # tokens of a long text; a second look at all that went before costs LONG / SIZE / 2 times as much
MANY = 400  # short texts side by side
SHOWN = 32_768  # tokens of the match whose time is shown
TIMES = 20


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
    _show(bench, _text(chance, SHOWN))


def _weigh(bench: Bench, texts: list[list[int]], asked: list[int], what: str) -> None:
    stage = _stage(bench)
    reply = _call(stage, "weigh", [texts, asked, SIZE], f"insert({what}), then match it")
    if type(reply) is not list or [type(looks) for looks in reply] != [int, int]:
        _too_much(stage, "match", what, 0, 0)
    for method, looks, length in (("insert", reply[0], len(texts[-1])), ("match", reply[1], len(asked))):
        if looks > LOOKS * length:
            _too_much(stage, method, what, looks, length)
    bench.cases += 1


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
    message = f"`{method}` of {what} looks at its tokens {looks} times, {looks // max(1, length)} times each: "
    message += "compare and hash every block once."
    stage.broken(message, got=f"{looks} looks", expected=f"at most {LOOKS * length}", method=method)


def _text(chance: random.Random, length: int) -> list[int]:
    return [chance.randrange(50_000) for _ in range(length)]
