"""From a checked plan to the tokens that are said: spans for the runner, one forward pass, then the
choice."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from reference_engine.batch import Span, StepBatch
from reference_engine.request_state import RequestState, RunningRequests
from reference_engine.runner import Outcome, Runner
from reference_engine.sampler import Draw, TokenScores, choose, scores, uniform
from reference_engine.slots import Block, Chunk, Copy, Plan
from reference_engine.speculation import Drafted, Speculator


class Decoder:
    """Runs plans on a runner. `requests` are the engine's; `table(id)` asks the block manager.

    guessed: tokens drafted for the plan that was prepared last. scores: what the tokens said last
    scored, of the requests that ask.
    """

    def __init__(
        self,
        runner: Runner,
        requests: Mapping[int, RequestState],
        running: RunningRequests,
        table: Callable[[int], Sequence[Block]],
        speculator: Speculator | None,
        block_size: int,
    ) -> None:
        self._runner = runner
        self._requests = requests
        self._running = running
        self._table = table
        self._speculator = speculator
        self._lookahead = speculator.lookahead if speculator else 0
        self._block_size = block_size
        self._work: list[tuple[Chunk, Span]] = []
        self.guessed = 0
        self.scores: dict[int, TokenScores] = {}

    def prepare(self, plan: Plan, copies: Sequence[Copy]) -> None:
        """Find out where every chunk's KV lies, and guess. Raises PartError when a block table
        cannot be right."""
        work = [(chunk, self._requests[chunk.id]) for chunk in plan.chunks]
        for chunk, state in work:
            reserved = chunk.start + chunk.length + self._lookahead * chunk.samples
            self._running.place(state, self._table(chunk.id), reserved, chunk.start)
        drafts = {} if self._speculator is None else self._speculator.draft(work, copies)
        self._work = []
        for chunk, state in work:
            assert state.seat is not None
            draft = drafts.get(chunk.id, ())
            tokens = state.tokens[chunk.start : chunk.start + chunk.length]
            if draft:
                tokens += draft[1:]
            wanted = max(1, len(draft)) if chunk.samples else 0
            first = self._speculator.first.get(chunk.id, 0) if draft and self._speculator else 0
            self._work.append(
                (chunk, Span(state.seat, chunk.start, tokens, wanted, len(draft), first))
            )
        self._work.sort(key=_effort)
        self.guessed = sum(span.tree - 1 for _, span in self._work if span.tree)

    def run(self, plan: Plan, copies: Sequence[Copy]) -> dict[int, list[int]]:
        """Copy blocks, run the model; what every sampling request says, one token at least."""
        self._runner.copy(copies)
        self.scores.clear()
        outcome = self._forward()
        if self._speculator is not None and not self._speculator.resting:
            return self._judge(self._speculator, outcome)
        ids = [chunk.id for chunk, span in self._work if span.wanted]
        return (
            {id: [token] for id, token in zip(ids, self._choose(outcome, ids), strict=True)}
            if ids
            else {}
        )

    def _forward(self) -> Outcome:
        """The rows that are wanted; a speculator that watches is shown all of them."""
        if self._speculator is None or not self._speculator.watches:
            return self._runner.forward(self._batch())
        outcome = self._runner.forward(self._batch(whole=True))
        known, rows, at = list[tuple[RequestState, Chunk, slice]](), list[int](), 0
        for chunk, span in self._work:
            known.append((self._requests[chunk.id], chunk, slice(at, at + chunk.length)))
            at += len(span.tokens)
            rows += range(at - span.wanted, at)
        self._speculator.watch(known, outcome.hidden)
        return outcome if len(rows) == at else Outcome(outcome.hidden[rows], outcome.logits[rows])

    def _batch(self, whole: bool = False) -> StepBatch:
        """whole: every row is wanted."""
        spans = tuple(
            replace(span, wanted=len(span.tokens)) if whole else span for _, span in self._work
        )
        if self._speculator is None or not any(span.tree for span in spans):
            return StepBatch(spans)
        return StepBatch(spans, self._speculator.depths, self._speculator.mask)

    def _choose(self, outcome: Outcome, ids: Sequence[int]) -> list[int]:
        """One token for each of the requests, whose rows of the outcome are in this order."""
        draws, looked_at = [], list[tuple[int, RequestState]]()
        for row, id in enumerate(ids):
            state = self._requests[id]
            if not state.rule.greedy:
                draws.append(Draw(row, state.rule, uniform(state.seed, state.said)))
            if state.rule.scores is not None or (state.rule.min_new and state.barred is not None):
                looked_at.append((row, state))
        if looked_at:
            return self._look_and_choose(outcome, draws, looked_at)
        return choose(outcome.logits, draws) if draws else outcome.likeliest()

    def _look_and_choose(
        self, outcome: Outcome, draws: Sequence[Draw], looked_at: Sequence[tuple[int, RequestState]]
    ) -> list[int]:
        """As `_choose`, where EOS is barred from some rows, or the scores of what is said are asked
        for."""
        logits = outcome.logits.clone()
        for row, state in looked_at:
            if state.barred is not None:
                logits[row, state.barred] = float("-inf")
        tokens = choose(logits, draws)
        for row, state in looked_at:
            if state.rule.scores is not None:
                self.scores[state.id] = scores(outcome.logits[row], tokens[row], state.rule.scores)
        return tokens

    def _judge(self, speculator: Speculator, outcome: Outcome) -> dict[int, list[int]]:
        """The speculator settles the requests it takes, drafted or not; the others have one row
        each."""
        said, drafted, at = dict[int, list[int]](), list[Drafted](), 0
        for chunk, span in self._work:
            if not span.wanted:
                continue
            state, rows = self._requests[chunk.id], slice(at, at + span.wanted)
            at += span.wanted
            if speculator.takes(state):
                drafted.append(self._drafted(state, span, rows))
            else:
                said[chunk.id] = self._choose(
                    Outcome(outcome.hidden[rows], outcome.logits[rows]), [chunk.id]
                )
        return said | (speculator.settle(drafted, outcome, self._runner) if drafted else {})

    def _drafted(self, state: RequestState, span: Span, rows: slice) -> Drafted:
        size, end = self._block_size, span.start + len(span.tokens)
        places = range(end - span.wanted, end)
        slots = [state.table[place // size] * size + place % size for place in places]
        return Drafted(state.id, rows, span.tokens[-span.wanted :], slots, state.remaining)


def _effort(work: tuple[Chunk, Span]) -> tuple[int, bool, int]:
    """Fewest rows first, decodes before prefills, the shortest context first: the runner finds
    alike beside alike."""
    span = work[1]
    return len(span.tokens), not span.wanted, span.start
