"""Tokens to text, piece by piece: a character whose bytes lie in several tokens comes with the last
of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Tokenizer

UNFINISHED = "\N{REPLACEMENT CHARACTER}"


class IncrementalText:
    """The text of one output. Only its last tokens are decoded again, whatever its length."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._tokens: list[
            int
        ] = []  # the last piece that was shown, for what it joins, and what came since
        self._shown = 0  # of them

    def push(self, tokens: Sequence[int]) -> str:
        """What the tokens add to the text, as far as its characters are complete."""
        self._tokens += tokens
        text = self._tokenizer.decode(self._tokens)
        if text.endswith(UNFINISHED):
            return ""
        return self._show(text)

    def flush(self) -> str:
        """The rest: bytes that have become no character."""
        return self._show(self._tokenizer.decode(self._tokens))

    def _show(self, text: str) -> str:
        before = self._tokenizer.decode(self._tokens[: self._shown])
        self._tokens = self._tokens[self._shown :]
        self._shown = len(self._tokens)
        return text[len(before) :]
