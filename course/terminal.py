"""The terminal: one console for people, and the wash that every text from a submission goes through
first."""

from __future__ import annotations

import codecs
import re
import sys
import unicodedata
from collections.abc import Callable
from typing import TextIO

from rich.console import Console

_SEQUENCE = re.compile(
    r"\x1b[\]PX^_][^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)"  # OSC, DCS, SOS, PM, APC with their text
    r"|[\x1b\x9b]\[?[0-?]*[ -/]*[@-~]"  # CSI and two-character escapes
    r"|\x1b",
)
_CONTROL = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028\u2029\u202a-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)

_PLAIN = str.maketrans(
    {
        "✓": "+",
        "✗": "x",
        "·": "-",
        "…": "...",
        "→": "->",
        "█": "#",
        "░": ".",
        "▌": "|",
        "µ": "u",
        "–": "-",
    }
    | dict.fromkeys("─━═╌", "-")
    | dict.fromkeys("│┃║", "|")
    | dict.fromkeys("┌┐└┘├┤┬┴┼╭╮╰╯╔╗╚╝", "+")
)
"""What stands for a character on a terminal that has no such character."""


def tolerate(stream: TextIO) -> None:
    """Let a stream write what its encoding lacks as the nearest that it has: a tick as +, a cross
    as x."""
    if hasattr(stream, "reconfigure"):
        codecs.register_error("course.plain", _plain)
        stream.reconfigure(errors="course.plain")


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = unicodedata.normalize("NFKD", error.object[error.start : error.end].translate(_PLAIN))
    kept = (letter for letter in text if not unicodedata.combining(letter))
    return "".join(letter if letter.isascii() else "?" for letter in kept), error.end


def clean(text: str) -> str:
    """`text` without escape sequences, control, bidirectional and invisible characters; newlines
    and tabs stay."""
    text = _SEQUENCE.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


def shorten(text: str, limit: int) -> str:
    """`text` cut to `limit` characters, saying so."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def teller() -> Callable[..., None]:
    """Prints a line of progress to stderr, dim, or in the style that is given behind it."""
    screen = console(stderr=True)

    def tell(line: str, style: str = "dim") -> None:
        screen.print(clean(line), style=style, soft_wrap=True)

    return tell


def console(*, stderr: bool = False) -> Console:
    """A console on stdout that never reads markup or emoji codes in what it prints; plain where no
    person looks."""
    return Console(
        file=sys.stderr if stderr else sys.stdout,
        markup=False,
        emoji=False,
        highlight=False,
    )
