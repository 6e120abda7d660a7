"""Tokens to text: characters and stop strings that lie across the borders of tokens."""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer

from course.server.incremental_text import IncrementalText
from course.server.stop_strings import StopStrings
from reference_engine.waiter import CHECKPOINT

TEXT = "A bowl of soup, ☃ and 🍜 for the crème brûlée."


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_file(str(CHECKPOINT / "tokenizer.json"))


@pytest.mark.parametrize("size", [1, 2, 7])
def test_pieces_are_the_whole_text_and_none_ends_within_a_character(
    tokenizer: Tokenizer, size: int
) -> None:
    ids, words = tokenizer.encode(TEXT, add_special_tokens=False).ids, IncrementalText(tokenizer)
    pieces = [words.push(ids[at : at + size]) for at in range(0, len(ids), size)]
    assert "".join(pieces) + words.flush() == TEXT
    assert not any("\N{REPLACEMENT CHARACTER}" in piece for piece in pieces)


def test_bytes_that_become_no_character_come_at_the_end(tokenizer: Tokenizer) -> None:
    ids, words = tokenizer.encode("🍜", add_special_tokens=False).ids, IncrementalText(tokenizer)
    assert words.push(ids[:-1]) == ""
    assert words.flush() == "\N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize(
    "text", ["abcabd", "aab", "ab", "xxabdxx", "aaabd", "nothing of it", "abdabc"]
)
@pytest.mark.parametrize("stops", [("abd",), ("abcabd", "bd"), ("aab", "abd"), ()])
def test_a_stop_string_is_found_however_the_text_is_cut(text: str, stops: tuple[str, ...]) -> None:
    places = [place for place in map(text.find, stops) if place >= 0]
    due = text[: min(places)] if places else text
    for cut in range(len(text) + 1):
        watch, said, stopped = StopStrings(stops), "", False
        for piece in (text[:cut], *text[cut:]):
            if not stopped:
                shown, stopped = watch.push(piece)
                said += shown
        assert (said + watch.flush(), stopped) == (due, bool(places)), cut


def test_no_more_is_held_back_than_may_become_a_stop_string() -> None:
    watch = StopStrings(["\nGuest"])
    assert watch.push("Yes.") == ("Yes.", False)
    assert watch.push(" No.\nGu") == (" No.", False)
    assert watch.push("ava") == ("\nGuava", False)
