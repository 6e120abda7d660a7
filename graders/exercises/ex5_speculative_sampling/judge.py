"""One part of exercise 5 under test: every call is made, told, and compared with the specification,
row by row."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NoReturn

from graders.checking.check_context import CheckContext
from graders.checking.tensor_calls import NO_ROWS, TensorCallRecorder, cut
from graders.checking.wire_tensors import python_of, sent
from graders.exercises.ex5_speculative_sampling import diagnostics
from graders.exercises.ex5_speculative_sampling import specification as spec
from graders.exercises.ex5_speculative_sampling.specification import Chain, Row, Rule, Siblings

SLOT = "speculative_sampling"
IMPORTS = f"from math import inf, nan\n\nimport {SLOT}\nimport torch\n"
NEAR, TINY = 2e-5, 1e-7  # of a probability that is right: relative, absolute
LEAST = 1e-30  # that float32 holds easily: what is due beyond it is not 0
FLOAT = "float32"
FUNCTIONS = ("probabilities", "accept_chain", "accept_siblings")
NOTHING_GUESSED = "Nothing was guessed here, K = 0: count is 0, and next is drawn from p[:, 0]."


class SamplingCallRecorder(TensorCallRecorder):
    """The recorder of exercise 5."""

    NAMES: ClassVar[Mapping[str, Sequence[str]]] = {
        "accept_chain": ("count", "next"),
        "accept_siblings": ("which", "next"),
    }
    CALLS: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "many_chains": ("accept_chain",),
        "many_siblings": ("accept_siblings",),
    }

    def code_of(self, method: str, args: Sequence[Any]) -> str:
        return (
            super().code_of(method, args) if method in FUNCTIONS else ""
        )  # others are the driver's

    def python(self, method: str, args: Sequence[Any]) -> list[str]:
        if method != "probabilities":
            return [python_of(each) for each in args]
        return [python_of(args[0]), *(f"{name}={value}" for name, value in args[1].items())]


class SamplingJudge:
    """The three functions, each called on the part and judged; the first deviation raises Broken."""

    def __init__(self, context: CheckContext) -> None:
        self.scene = SamplingCallRecorder(context, SLOT, SLOT, IMPORTS)
        self.scene.load()

    # ------------------------------------------------------------ the calls

    def probabilities(
        self,
        rows: Sequence[Row],
        rule: Rule,
        *,
        shape: Sequence[int] | None = None,
        dtype: str = FLOAT,
    ) -> None:
        """rows: of logits, a row of NaN being one that nobody looks at. shape: theirs without V;
        [B] if left out."""
        ahead = [len(rows)] if shape is None else list(shape)
        whole = (*ahead, len(rows[0]) if rows else 4)
        given = sent(dtype, [item for row in rows for item in row], [math.prod(whole)])
        given[1] = list(whole)
        shown = rows[0] if not ahead else [list(row) for row in rows]
        written = f"probabilities({cut(str(shown))}, {rule})"
        answer = self.scene.result(
            "probabilities", [given, rule.keywords], written, lambda: _spreads_due(rows, rule)
        )
        result = self.scene.one(answer, whole, dtype)
        for number, logits in enumerate(rows):
            if not any(map(math.isnan, logits)):
                got = result.items[number * whole[-1] : (number + 1) * whole[-1]]
                self._judge_spread(rows, number, rule, [_number(x) for x in got])

    def accept_chain(
        self,
        rows: Sequence[Chain],
        *,
        dtype: str = FLOAT,
        guesses: int = 2,
        vocab: int = 3,
        counts: bool = False,
    ) -> None:
        """guesses, vocab: where there is no row to tell. counts: nothing else is judged."""
        count, size = (len(rows[0].guesses), len(rows[0].last)) if rows else (guesses, vocab)
        draft = [[one.token for one in row.guesses] for row in rows]
        q = [[list(one.q) for one in row.guesses] for row in rows]
        p = [[*(list(one.p) for one in row.guesses), list(row.last)] for row in rows]
        u, v = [[one.u for one in row.guesses] for row in rows], [row.v for row in rows]
        b = len(rows)
        args = [
            sent("int64", draft, (b, count)),
            sent(dtype, q, (b, count, size)),
            sent(dtype, p, (b, count + 1, size)),
            sent(dtype, u, (b, count)),
            sent(dtype, v, (b,)),
        ]
        written = ", ".join(
            f"{name}={cut(str(value))}"
            for name, value in zip(("draft", "q", "p", "u", "v"), (draft, q, p, u, v), strict=True)
        )
        result = self.scene.result(
            "accept_chain",
            args,
            f"accept_chain({written})",
            lambda: (
                f"count {cut(str([row.count for row in rows]))}, next {cut(str([row.next for row in rows]))}"
            ),
            NO_ROWS if not b else "" if count else NOTHING_GUESSED,
        )
        arrays = self.scene.named(result, ("count", "next"), "an Accepted of two tensors")
        for name, array in zip(("count", "next"), arrays, strict=True):
            self.scene.typed(name, array, (b,))
        for number, row in enumerate(rows):
            following = row.next if counts else arrays[1].items[number]
            self._judge_chain(number if b > 1 else None, row, arrays[0].items[number], following)

    def accept_siblings(
        self,
        rows: Sequence[Siblings],
        *,
        dtype: str = FLOAT,
        count: int = 2,
        vocab: int = 3,
        turns: bool = False,
    ) -> None:
        """count, vocab: where there is no row to tell. turns: what is drawn when none stands is not
        judged."""
        candidates, size, b = (
            (len(rows[0].tokens), len(rows[0].p), len(rows)) if rows else (count, vocab, 0)
        )
        values = (
            [list(row.tokens) for row in rows],
            [list(row.q) for row in rows],
            [list(row.p) for row in rows],
            [list(row.u) for row in rows],
            [row.v for row in rows],
        )
        shapes = ((b, candidates), (b, size), (b, size), (b, candidates), (b,))
        kinds = ("int64", dtype, dtype, dtype, dtype)
        args = [
            sent(kind, value, shape)
            for kind, value, shape in zip(kinds, values, shapes, strict=True)
        ]
        words = zip(("tokens", "q", "p", "u", "v"), values, strict=True)
        written = ", ".join(f"{name}={cut(str(value))}" for name, value in words)
        result = self.scene.result(
            "accept_siblings",
            args,
            f"accept_siblings({written})",
            lambda: (
                f"which {cut(str([row.which for row in rows]))}, next {cut(str([row.next for row in rows]))}"
            ),
            NO_ROWS if not b else "",
        )
        arrays = self.scene.named(result, ("which", "next"), "two tensors (which, next)")
        for name, array in zip(("which", "next"), arrays, strict=True):
            self.scene.typed(name, array, (b,))
        for number, row in enumerate(rows):
            following = row.next if turns and row.which < 0 else arrays[1].items[number]
            self._judge_siblings(number if b > 1 else None, row, arrays[0].items[number], following)

    def many(
        self, method: str, args: Sequence[Any], written: str, rows: int
    ) -> tuple[list[int], list[int]]:
        """`many_chains` or `many_siblings` of the driver: two integers for each row, judged for
        form alone."""
        result = self.scene.result(
            method, args, written, lambda: f"two integers for each of {rows} rows"
        )
        first, second = self.scene.named(result, ("count", "next"), "two tensors")
        for name, array in (("count", first), ("next", second)):
            self.scene.typed(name, array, (rows,))
        self.scene.steps[-1].answer = ""
        return first.items, second.items

    # ------------------------------------------------------------ judging

    def _judge_spread(self, rows: Sequence[Row], row: int, rule: Rule, got: list[float]) -> None:
        due = spec.spread(rows[row], rule)
        wrong = [
            token for token, (x, y) in enumerate(zip(got, due.p, strict=True)) if not _close(x, y)
        ]
        if wrong:
            cut_or_kept = [token for token in wrong if (got[token] == 0) != (due.p[token] == 0)]
            message = diagnostics.spread_fault(rows, row, rule, due, got, (cut_or_kept or wrong)[0])
            self._broken(
                row if len(rows) > 1 else None,
                message,
                diagnostics.numbers(got),
                diagnostics.numbers(due.p),
            )

    def _judge_chain(self, row: int | None, chain: Chain, count: int, following: int) -> None:
        if (count, following) == (chain.count, chain.next):
            return
        message = (
            diagnostics.count_fault(chain, count)
            if count != chain.count
            else diagnostics.next_fault(chain, following)
        )
        self._broken(
            row,
            message,
            f"count {count}, next {following}",
            f"count {chain.count}, next {chain.next}",
        )

    def _judge_siblings(
        self, row: int | None, siblings: Siblings, which: int, following: int
    ) -> None:
        if (which, following) == (siblings.which, siblings.next):
            return
        message = diagnostics.siblings_fault(siblings, which, following)
        got = f"which {which}, next {following}"
        self._broken(row, message, got, f"which {siblings.which}, next {siblings.next}")

    def _broken(self, row: int | None, message: str, got: str, expected: str) -> NoReturn:
        self.scene.broken(
            message if row is None else f"Row {row}: {message}", got=got, expected=expected
        )


def _spreads_due(rows: Sequence[Row], rule: Rule) -> str:
    """What is right for the first row that anybody looks at."""
    looked = next((row for row in rows if not any(map(math.isnan, row))), None)
    return (
        diagnostics.numbers(spec.spread(looked, rule).p)
        if looked is not None
        else "an empty tensor"
    )


def _close(got: float, due: float) -> bool:
    """NaN is close to nothing, and nothing to 0, nor 0 to anything."""
    if due == 0 or (got == 0 and due > LEAST):
        return got == due
    return abs(got - due) <= NEAR * due + TINY


def _number(item: Any) -> float:
    """An item of a tensor of floats from the wire."""
    return float(item["s"]) if type(item) is dict else item
