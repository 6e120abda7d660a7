"""The model, its heads and the KV of a timed engine, in the grader's own process, where no part can
write.

A timed engine, parts and all, runs in the worker; every forward pass is asked for over the wire and
made here: by this model, in a pool of the trace's size, for as many seats as the trace has; and so
is every guess of the heads. Whatever the part makes of the engine beside it, tokens are only to be
had from here, and the clock is the grader's. Afterwards `unsaid` holds the outputs against what was
computed: each token that came must have been said to its own text; and `unheard` holds what was
asked against what could be known: a row is a token of a prompt or one that was said before, a node
of a tree is a guess of the heads. `steps` says how long the worker took over each pass. Nothing
that is asked is believed: an index beyond the pool, the tables or the vocabulary is a ProtocolError
before compiled code sees it.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import torch

from graders.sandbox import protocol
from graders.sandbox.protocol import ProtocolError
from graders.workloads import Trace
from reference_engine.arithmetic import Arithmetic
from reference_engine.backends import make_runner
from reference_engine.batch import Span, StepBatch
from reference_engine.kv_dtype import KVDtype
from reference_engine.model import Model
from reference_engine.model_loader import load_model
from reference_engine.runner import Outcome
from reference_engine.slots import Copy

if TYPE_CHECKING:
    from reference_engine.medusa.heads import Heads
    from reference_engine.medusa.tree_search import TreeChoice

ROWS = 512
"""Of a pass at most, the engine's `token_budget`; trees come on top."""
DEEPEST = 64
"""Nodes below a text's last token at most."""
Said = tuple[int, int, int]
"""Where a token stands in a text, the token, and the one that the model says after it."""


@dataclass(frozen=True, slots=True)
class Pass:
    """One pass: what was asked, what the wanted rows said, and how long the worker took since the
    last one (s)."""

    batch: StepBatch
    found: list[int]
    seconds: float

    @property
    def kind(self) -> tuple[int, bool]:
        """What passes are compared by: for how many requests, and whether each has a row for each
        of its answers."""
        return len(self.batch.spans), sum(len(span.tokens) for span in self.batch.spans) == len(
            self.found
        )


class ModelRoom:
    """For one trace, served once. guesses: the waiter's heads are asked too. model: if it has no
    name. passes: all that were made.

    Raises ModelError when the model cannot be used.
    """

    def __init__(self, trace: Trace, *, guesses: bool, model: Model | None = None) -> None:
        self._model, self._seats = model or _model(trace.model), trace.max_seqs
        self._heads: Heads | None = None
        self._tree: TreeChoice | None = None
        if guesses:
            self._heads, self._tree = _heads(trace.model)
        self._blocks, self._size = trace.num_blocks, trace.block_size
        self._width = -(-(self._model.config.positions + DEEPEST) // trace.block_size)
        sizes = {"num_blocks": trace.num_blocks, "block_size": trace.block_size}
        sizes |= {"seats": trace.max_seqs, "width": self._width}
        self._runner = make_runner(
            self._model, **sizes, arithmetic=Arithmetic.FP32, kv_dtype=KVDtype.FP32
        )
        # of the pass made last, until guesses are made of it
        self._hidden: torch.Tensor | None = None
        self._guessed: list[dict[int, set[int]]] = []  # before each pass: a seat's guesses
        self._latest: dict[int, set[int]] = {}
        self._spent, self._left = 0.0, time.monotonic()
        self.passes: list[Pass] = []

    def resume(self) -> None:
        """The worker is asked something from now on: what it waited for that is not its time."""
        self._left = time.monotonic()

    def told(self, answer: dict[str, Any]) -> dict[str, Any]:
        """What the worker asks for: a pass, or guesses of its rows. Raises ProtocolError for what
        is none."""
        self._spent += time.monotonic() - self._left
        made = self._guesses(answer) if "guess" in answer else self._pass(answer)
        self._left = time.monotonic()
        return made

    def _pass(self, answer: dict[str, Any]) -> dict[str, Any]:
        protocol.only(answer, ("forward",))
        wanted = protocol.field(answer, "forward", dict)
        protocol.only(wanted, ("tables", "kv", "spans", "tree"))
        self._fill(protocol.field(wanted, "tables", list))
        for moved in protocol.field(wanted, "kv", list):
            self._move(moved)
        batch = self._batch(protocol.field(wanted, "spans", list), wanted.get("tree"))
        outcome = self._runner.forward(batch)
        found = outcome.likeliest() if any(span.wanted for span in batch.spans) else []
        self.passes.append(Pass(batch, found, self._spent))
        self._guessed.append(self._latest)
        self._spent, self._hidden = 0.0, outcome.hidden
        return self._answer(outcome, found)

    def _answer(self, outcome: Outcome, found: list[int]) -> dict[str, Any]:
        """What is told of a pass."""
        return {"likeliest": found, "vocab": self._model.config.vocab}

    def _guesses(self, answer: dict[str, Any]) -> dict[str, Any]:
        """Of every head the likeliest tokens after rows of the last pass, one of each request; once
        a pass."""
        protocol.only(answer, ("guess",))
        wanted = protocol.field(answer, "guess", dict)
        protocol.only(wanted, ("rows", "count"))
        rows, (count,) = (
            protocol.integers(wanted.get("rows")),
            protocol.integers([wanted.get("count")], 1),
        )
        if self._heads is None or self._tree is None or self._hidden is None or not rows:
            raise ProtocolError("a wish for guesses where none are made")
        seats = [span.seat for span in self.passes[-1].batch.spans for _ in range(span.wanted)]
        for row in rows:
            within(row, len(seats), "a row")
        within(count - 1, self._tree.guesses, "guesses:")
        if len({seats[row] for row in rows}) != len(rows):
            raise ProtocolError("two rows of one request to guess from")
        # [R, H, count]
        made = self._heads.guess((), self._hidden[torch.tensor(rows)], count).tolist()
        told = {
            seats[row]: {token for head in each for token in head}
            for row, each in zip(rows, made, strict=True)
        }
        self._latest, self._hidden = told, None
        return {"guesses": made}

    def unsaid(self, trace: Trace, outputs: Sequence[Sequence[int]]) -> int:
        """How many of the tokens that came no pass has said to the text before them."""
        pairs = zip(trace.requests, outputs, strict=True)
        due = Counter(one for request, output in pairs for one in texts(request.prompt, output))
        return (due - Counter(one for made in self.passes for one in said(made))).total()

    def unheard(self, trace: Trace) -> int:
        """How many rows of all passes held a token that nobody could know, and nodes of trees one
        that no head guessed.

        Else a part could have its own guesses verified, in seats or rows that stand idle."""
        known = {one for request in trace.requests for one in enumerate(request.prompt)}
        strange = 0
        for made, guessed in zip(self.passes, self._guessed, strict=True):
            for span in made.batch.spans:
                nodes = span.tokens[len(span.tokens) - span.tree + 1 :] if span.tree else ()
                rows = span.tokens[: len(span.tokens) - len(nodes)]
                strange += sum(one not in known for one in enumerate(rows, span.start))
                strange += sum(node not in guessed.get(span.seat, ()) for node in nodes)
            known.update((place + 1, token) for place, _, token in said(made))
        return strange

    def _fill(self, entries: list[Any]) -> None:
        array = self._runner.tables.array
        for entry in entries:
            seat, place, block = protocol.integers(entry, 3)
            within(seat, self._seats, "a seat")
            within(place, self._width, "a place in a table")
            within(block, self._blocks, "a block")
            array[seat, place] = block
        self._runner.tables.version += bool(entries)

    def _move(self, moved: Any) -> None:
        if type(moved) is not list or len(moved) != 3 or type(moved[2]) is not bool:
            raise ProtocolError("a move of KV that is none")
        source = protocol.integers(moved[0])
        target = protocol.integers(moved[1], len(source))
        room = self._blocks if moved[2] else self._blocks * self._size
        for place in (*source, *target):
            within(place, room, "a block" if moved[2] else "a slot")
        if moved[2]:
            self._runner.copy([Copy(*pair) for pair in zip(source, target, strict=True)])
        elif source:
            self._runner.move(source, target)

    def _batch(self, told: list[Any], tree: Any) -> StepBatch:
        depths, mask = tree_of(tree, 0 if self._tree is None else self._tree.nodes)
        spans = tuple(self._span(one, len(depths)) for one in told)
        rows = sum(len(span.tokens) for span in spans)
        if not spans or len({span.seat for span in spans}) != len(spans):
            raise ProtocolError("a pass for nobody, or twice for one seat")
        within(rows, ROWS + len(depths) * self._seats + 1, "rows of a pass:")
        return StepBatch(spans, depths, mask) if depths else StepBatch(spans)

    def _span(self, told: Any, nodes: int) -> Span:
        if type(told) is not list or len(told) != 5:
            raise ProtocolError("rows that are none")
        seat, start, wanted, tree = protocol.integers(told[:4])
        tokens = protocol.integers(told[4])
        within(seat, self._seats, "a seat")
        within(start, self._width * self._size - len(tokens) + 1, "a start")
        within(tree, min(nodes, len(tokens)) + 1, "a tree")
        within(wanted, min(max(1, tree), len(tokens)) + 1, "rows wanted:")
        if not tokens:
            raise ProtocolError("a request without a row")
        within(min(tokens), self._model.config.vocab, "a token")
        within(max(tokens), self._model.config.vocab, "a token")
        return Span(seat, start, tokens, wanted, tree)


def texts(prompt: Sequence[int], output: Sequence[int]) -> Iterable[Said]:
    """What a model has to say for this output."""
    text = [*prompt, *output]
    for place in range(len(prompt) - 1, len(text) - 1):
        yield place, text[place], text[place + 1]


def said(made: Pass) -> Iterable[Said]:
    """What its wanted rows said."""
    left = iter(made.found)
    for span in made.batch.spans:
        places = made.batch.positions(span)
        for row in range(len(span.tokens) - span.wanted, len(span.tokens)):
            yield places[row], span.tokens[row], next(left)


def tree_of(told: Any, most: int) -> tuple[tuple[int, ...], torch.Tensor | None]:
    if told is None:
        return (), None
    if type(told) is not list or len(told) != 2 or type(told[1]) is not list:
        raise ProtocolError("a tree that is none")
    depths = protocol.integers(told[0])
    within(len(depths), most + 1, "nodes:")
    for depth in depths:
        within(depth, DEEPEST, "a depth")
    rows = [protocol.integers(row, len(depths)) for row in told[1]]
    if len(rows) != len(depths) or not depths:
        raise ProtocolError("a tree that is none")
    return tuple(depths), torch.tensor(rows) != 0


def within(number: int, below: int, what: str) -> None:
    """ProtocolError for a number that is negative, or not below."""
    if not 0 <= number < below:
        raise ProtocolError(f"{what} {number}, where {below} is too much")


@cache
def _model(name: str) -> Model:
    return load_model(name)


@cache
def _heads(name: str) -> tuple[Heads, TreeChoice]:
    """Those of the waiter and its stretched forms, as many as the tree is deep."""
    from reference_engine.medusa import HEADS
    from reference_engine.medusa.heads import load_heads
    from reference_engine.medusa.tree_search import tree_for

    tree = tree_for("cpu", HEADS)
    return load_heads(HEADS, _model(name)).first(tree.depth), tree
