"""The speculator with a draft model: between the engine, the model that guesses and the part that
accepts.

The draft model has a runner and a KV pool of its own, of as many blocks as the large one's, and
reads the same tokens into the same slots: block tables, copies, shared prefixes and forked samples
are the engine's and hold for both. KV that the draft lacks, because it rested or because somebody
else's prefix was read without it, costs guesses that fall, and never a wrong token.

The part is not believed: what it returns is checked for shape and range before the engine acts on
it. Whether it is *right* shows in the text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from reference_engine.arithmetic import Arithmetic
from reference_engine.backends import make_runner
from reference_engine.batch import Span, StepBatch
from reference_engine.drafting import GUESSES
from reference_engine.kv_dtype import KVDtype
from reference_engine.medusa.cost_model import StepCost
from reference_engine.medusa.speculator import CostModel
from reference_engine.metrics import VerifiedTree
from reference_engine.model import Model
from reference_engine.parts import PartError
from reference_engine.request_state import RequestState
from reference_engine.runner import Outcome, Runner
from reference_engine.sampler import Draw, Sampling, choose, uniform
from reference_engine.slots import Block, Chunk, Copy
from reference_engine.speculation import Drafted, Room

SLOT = "speculative_sampling"
# streams of a request's dice beside the one that draws its tokens
GUESSING, ACCEPTING = 0x67756573, 0x61636370
Rule = tuple[float, int, float]
"""Temperature, top_k, top_p: requests of one rule are asked about together."""


@dataclass(slots=True)
class _Read:
    """Whose KV the draft model has: of so many tokens, in a table that begins with this block."""

    tokens: int
    first: Block


@dataclass(frozen=True, slots=True)
class _Chain:
    """Guesses for one request, after `end` known tokens; q `[K, V]` are what they were drawn from."""

    state: RequestState
    end: int
    guesses: list[int]
    q: list[Tensor]


class DraftSpeculator:
    """Drafts chains of tokens with a small model and lets a part accept them. See
    `speculation.Speculator`.

    Greedy requests and those that draw their tokens are drafted alike. A drawn text is distributed
    as without a draft, but it is not the same text: which die decides a token depends on where
    chains begin. cost_model: decides when chains are drafted; without one every request that may be
    guessed carries one.
    """

    watches = False
    first: Mapping[int, int] = {}

    def __init__(
        self,
        part: Any,
        draft: Model,
        *,
        guesses: int = GUESSES,
        cost_model: CostModel | None = None,
    ) -> None:
        self._part, self._model, self._cost_model = part, draft, cost_model
        self.lookahead, self.resting = guesses, False
        self.depths = tuple(range(guesses + 1))
        self.mask = torch.ones(guesses + 1, guesses + 1, dtype=torch.bool).tril()
        self._runner: Runner | None = None
        self._read: dict[int, _Read] = {}
        self._chains: dict[int, _Chain] = {}
        self._states: dict[int, RequestState] = {}
        self._late = False  # the draft model had to read more than what is new
        self._judged: list[
            tuple[Drafted, int, int]
        ] = []  # chains of the last step, how much stood, what came next

    @property
    def passes(self) -> tuple[VerifiedTree, ...]:
        """See `Speculator`: a chain is a tree of one branch, and nothing has to move."""
        parents = tuple(range(-1, self.lookahead))
        return tuple(
            VerifiedTree(
                one.id,
                parents,
                tuple(one.tokens),
                tuple(one.slots),
                tuple(range(stood + 1)),
                token,
                (),
            )
            for one, stood, token in self._judged
        )

    def attach(self, runner: Runner, model: Model, room: Room) -> None:
        """The engine that it drafts for. Raises ValueError for a draft model of another vocabulary
        or device."""
        if self._model.config.vocab != model.config.vocab or self._model.device != model.device:
            raise ValueError(
                f"{self._model.name} cannot draft for {model.name}: another vocabulary, or another device"
            )
        sizes = {
            "num_blocks": room.num_blocks,
            "block_size": room.block_size,
            "seats": room.seats,
            "width": room.width,
        }
        self._runner = make_runner(
            self._model, **sizes, arithmetic=Arithmetic.FP32, kv_dtype=KVDtype.FP32
        )
        self._read.clear()

    def takes(self, state: RequestState) -> bool:
        """Those that may be guessed for."""
        return state.guessable

    def draft(
        self, work: Sequence[tuple[Chunk, RequestState]], copies: Sequence[Copy]
    ) -> Mapping[int, Sequence[int]]:
        """Read what the large model is about to read, and guess on; see `Speculator`."""
        assert self._runner is not None, "no engine was attached"
        self._states = {
            state.id: state for chunk, state in work if chunk.samples and self.takes(state)
        }
        self._chains, self._late, self._judged = {}, False, []
        self._runner.copy(copies)
        self.resting = not self._states or not self.speculates(len(self._states))
        if self.resting:
            for chunk, state in work:
                self._read[state.id] = _Read(self._begin(chunk, state), state.table[0])
            return {}
        going = [
            self._chain(chunk, state)
            for chunk, state in work
            if state.id in self._states and state.remaining > 1
        ]
        self._guess(going, self._spans(work, {chain.state.id for chain in going}))
        self._chains = {chain.state.id: chain for chain in going}
        return {id: [chain.state.tokens[-1], *chain.guesses] for id, chain in self._chains.items()}

    def watch(self, known: Sequence[tuple[RequestState, Chunk, slice]], hidden: Tensor) -> None:
        """It reads tokens, and no states."""

    def settle(
        self, drafted: Sequence[Drafted], outcome: Outcome, runner: Runner
    ) -> dict[int, list[int]]:
        """Guesses that stand and the token after them; of those without guesses one token, as
        without a draft."""
        chains = [one for one in drafted if one.id in self._chains]
        said = self._alone([one for one in drafted if one.id not in self._chains], outcome)
        best = outcome.likeliest()
        for rule in dict.fromkeys(_rule(self._states[one.id].rule) for one in chains):
            alike = [one for one in chains if _rule(self._states[one.id].rule) == rule]
            said |= self._accept(rule, alike, outcome, best)
        return said

    def spent(self, seconds: float, rows: int, kept: Mapping[int, Sequence[int]]) -> None:
        """See `Speculator`."""
        batch, trees, nodes = len(self._states), len(self._chains), self.lookahead + 1
        if self._cost_model is None or not batch:
            return
        if self._late or (not self.resting and not trees):
            self._cost_model.pass_over(batch)
            return
        tokens = sum(len(kept[id]) for id in self._chains)
        self._cost_model.note(
            StepCost(seconds, rows + trees * self.lookahead, batch, trees, nodes, tokens)
        )

    def forget(self, id: int) -> None:
        """The request left."""
        self._read.pop(id, None)

    def speculates(self, batch: int) -> bool:
        """Whether chains are drafted for a step with so many requests."""
        return self._cost_model is None or self._cost_model.worth(batch)

    def verdict(self, batch: int) -> str:
        """One sentence on whether it speculates for so many requests, and why."""
        if self._cost_model is None:
            return "speculation is on; its cost was not measured"
        return self._cost_model.verdict(batch)

    # ---------------------------------------------------------------- guessing

    def _chain(self, chunk: Chunk, state: RequestState) -> _Chain:
        return _Chain(state, chunk.start + chunk.length, [], [])

    def _begin(self, chunk: Chunk, state: RequestState) -> int:
        """The first token that the draft model has not read; a prefix that was borrowed counts as
        read."""
        known = self._read.get(state.id)
        return (
            min(known.tokens, chunk.start)
            if known and known.first == state.table[0]
            else chunk.start
        )

    def _spans(
        self, work: Sequence[tuple[Chunk, RequestState]], going: set[int]
    ) -> list[tuple[int, Span]]:
        """(id, rows) that the draft model reads; the last row of those who guess wants logits."""
        assert self._runner is not None
        spans = []
        for chunk, state in work:
            assert state.seat is not None
            self._runner.tables.put(state.seat, state.table)
            end, first = chunk.start + chunk.length, self._begin(chunk, state)
            self._late |= first < chunk.start - 1 or chunk.length > 1
            spans.append(
                (state.id, Span(state.seat, first, state.tokens[first:end], int(state.id in going)))
            )
            self._read[state.id] = _Read(end, state.table[0])
        return sorted(
            spans, key=lambda each: (len(each[1].tokens), not each[1].wanted, each[1].start)
        )

    def _guess(self, going: Sequence[_Chain], spans: list[tuple[int, Span]]) -> None:
        """Fill in guesses and q of the chains, one pass of the draft model for each place."""
        assert self._runner is not None
        chains = {chain.state.id: chain for chain in going}
        seats = {id: span.seat for id, span in spans}
        for place in range(self.lookahead):
            outcome = self._runner.forward(StepBatch(tuple(span for _, span in spans)))
            asked = [chains[id] for id, span in spans if span.wanted]
            if not asked:
                return
            self._draw(asked, outcome, place)
            spans = [
                (one.state.id, Span(seats[one.state.id], one.end + place, one.guesses[-1:], 1))
                for one in asked
            ]
            spans.sort(key=lambda each: each[1].start)

    def _draw(self, asked: Sequence[_Chain], outcome: Outcome, place: int) -> None:
        """One more guess for each chain, whose rows of the outcome are in this order."""
        best, vocab = outcome.likeliest(), outcome.logits.shape[1]
        for rule in dict.fromkeys(_rule(chain.state.rule) for chain in asked):
            rows = [row for row, chain in enumerate(asked) if _rule(chain.state.rule) == rule]
            states = [asked[row].state for row in rows]
            if rule[0] > 0:
                q = self._probabilities(outcome.logits[rows], rule)  # [rows, V]
                tokens = _drawn(
                    q, [uniform(state.seed ^ GUESSING, state.said + place) for state in states]
                )
            else:
                tokens = [best[row] for row in rows]
                q = _certain(torch.tensor(tokens), vocab)  # [rows, V]
            for row, token, weights in zip(rows, tokens, q, strict=True):
                asked[row].guesses.append(token)
                asked[row].q.append(weights)

    # ---------------------------------------------------------------- accepting

    def _accept(
        self, rule: Rule, alike: Sequence[Drafted], outcome: Outcome, best: Sequence[int]
    ) -> dict[int, list[int]]:
        """What requests of one rule say."""
        chains = [self._chains[one.id] for one in alike]
        draft = torch.tensor([chain.guesses for chain in chains])  # [B, K]
        q = torch.stack([torch.stack(chain.q) for chain in chains])  # [B, K, V]
        p = self._judgement(rule, alike, outcome, best)  # [B, K + 1, V]
        u, v = self._dice(chains, q.dtype)
        try:
            accepted = self._part.accept_chain(draft, q, p, u, v)
        except Exception as error:
            raise PartError(
                SLOT, f"accept_chain() raised {type(error).__name__}: {error}"
            ) from error
        count, following = (_integers(accepted, name, len(chains)) for name in ("count", "next"))
        said = {}
        for one, chain, stood, token in zip(alike, chains, count, following, strict=True):
            if not 0 <= stood <= self.lookahead or not 0 <= token < q.shape[2]:
                raise PartError(
                    SLOT,
                    f"accept_chain() returned count {stood} and next {token}: there is no such answer",
                )
            self._judged.append((one, stood, token))
            said[chain.state.id] = [*chain.guesses[:stood], token]
            self._read[chain.state.id].tokens = chain.end + min(stood, self.lookahead - 1)
        return said

    def _judgement(
        self, rule: Rule, alike: Sequence[Drafted], outcome: Outcome, best: Sequence[int]
    ) -> Tensor:
        """How likely the large model says each token in the places of the guesses and after them,
        `[B, K + 1, V]`."""
        if rule[0] > 0:
            return self._probabilities(
                torch.stack([outcome.logits[one.rows] for one in alike]), rule
            )
        return _certain(torch.tensor([best[one.rows] for one in alike]), outcome.logits.shape[1])

    def _dice(self, chains: Sequence[_Chain], dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """u `[B, K]` and v `[B]`: a token's die is used once, whichever chain it comes to be judged
        in.

        v is the die of the token that is drawn, which is known once guesses have stood: of every
        place one is made.
        """
        places = range(self.lookahead)
        u = [
            [uniform(chain.state.seed ^ ACCEPTING, chain.state.said + at) for at in places]
            for chain in chains
        ]
        v = [uniform(chain.state.seed ^ ACCEPTING, -1 - chain.state.said) for chain in chains]
        return torch.tensor(u, dtype=torch.float64).to(dtype), torch.tensor(
            v, dtype=torch.float64
        ).to(dtype)

    def _alone(self, single: Sequence[Drafted], outcome: Outcome) -> dict[int, list[int]]:
        """One token for each request without guesses."""
        if not single:
            return {}
        rows = [one.rows.stop - 1 for one in single]
        states = [self._states[one.id] for one in single]
        draws = [
            Draw(row, state.rule, uniform(state.seed, state.said))
            for row, state in enumerate(states)
            if not state.rule.greedy
        ]
        best = outcome.likeliest()
        tokens = choose(outcome.logits[rows], draws) if draws else [best[row] for row in rows]
        return {one.id: [token] for one, token in zip(single, tokens, strict=True)}

    def _probabilities(self, logits: Tensor, rule: Rule) -> Tensor:
        """Of the part, on the host."""
        temperature, top_k, top_p = rule
        logits = logits.cpu().float()
        try:
            p = self._part.probabilities(logits, temperature=temperature, top_k=top_k, top_p=top_p)
        except Exception as error:
            raise PartError(
                SLOT, f"probabilities() raised {type(error).__name__}: {error}"
            ) from error
        if not isinstance(p, Tensor) or p.shape != logits.shape or p.dtype != logits.dtype:
            got = f"{p.dtype} {list(p.shape)}" if isinstance(p, Tensor) else type(p).__name__
            raise PartError(
                SLOT, f"probabilities() returned {got} where float32 {list(logits.shape)} are due"
            )
        return p


def _rule(sampling: Sampling) -> Rule:
    """How the part is told of it."""
    return (
        (0.0, 0, 1.0) if sampling.greedy else (sampling.temperature, sampling.top_k, sampling.top_p)
    )


def _certain(tokens: Tensor, vocab: int) -> Tensor:
    """What a model says at temperature 0, `[..., V]`: runners find the likeliest token on the way."""
    return torch.zeros(*tokens.shape, vocab).scatter_(-1, tokens[..., None], 1.0)


def _drawn(weights: Tensor, numbers: Sequence[float]) -> list[int]:
    """One token a row of weights `[R, V]`. Of NaN, which a wrong part may give, any."""
    reach = weights.double().cumsum(-1)
    due = torch.tensor(numbers, dtype=torch.float64)[:, None] * reach[:, -1:]
    found = torch.searchsorted(reach, due, right=True).clamp(max=weights.shape[1] - 1)
    return [int(token) for token in found.squeeze(1).tolist()]


def _integers(accepted: object, name: str, rows: int) -> list[int]:
    """A field of `Accepted`; PartError unless it is a tensor of so many integers."""
    value = getattr(accepted, name, None)
    if not isinstance(value, Tensor) or value.is_floating_point() or tuple(value.shape) != (rows,):
        got = list(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise PartError(
            SLOT, f"accept_chain() returned {name} {got} where integers [{rows}] are due"
        )
    return [int(number) for number in value.tolist()]
