"""One answer of the waiter, decoded with guesses: what exercises 4 and 6 are drawn from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from course.window.page import EngineRun, words_of
from reference_engine.metrics import StepRecord

DIALOGUE, TURN = 300_004, 2  # a held-out dialogue
LONGEST, BLOCK_SIZE = 48, 16


class WaiterAnswer:
    """The answer to a held-out question. said: its tokens so far."""

    def __init__(self, model: Any, speculator: Any, title: str) -> None:
        from reference_engine.engine import Engine
        from reference_engine.waiter.corpus import END, dialogue
        from reference_engine.waiter.tokenizer import special_id

        told = dialogue(DIALOGUE, "heldout", turns=TURN + 1)
        prompt = model.tokenizer.encode(told.prompt(TURN)).ids
        blocks = 2 * (2 + (len(prompt) + LONGEST + speculator.lookahead) // BLOCK_SIZE)
        self._engine = Engine(
            model,
            num_blocks=blocks,
            block_size=BLOCK_SIZE,
            max_seqs=1,
            token_budget=2048,
            speculator=speculator,
            keep_trace=True,
        )
        self._engine.add(prompt, LONGEST, eos=special_id(model.tokenizer, END))
        self._model, self.question = model, told.turns[TURN].asked
        self.said: list[int] = []
        self.run = EngineRun(title, blocks, BLOCK_SIZE, 2048, self._engine.trace)

    def steps(self) -> Iterator[tuple[str, int, StepRecord]]:
        """Of each step the answer before it, how many tokens it added, and the engine's record."""
        while not self._engine.idle:
            before = self.text(self.said)
            (event,) = self._engine.step()
            self.said += event.tokens
            yield before, len(event.tokens), self._engine.trace[-1]

    def text(self, tokens: Sequence[int]) -> str:
        """What these tokens say."""
        words: str = self._model.tokenizer.decode(list(tokens), skip_special_tokens=False)
        return words

    def words(self) -> Mapping[int, str]:
        """The text of each token that was met."""
        return words_of(self._engine.trace, self.text)
