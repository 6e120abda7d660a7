"""Text from submissions, made harmless for the place it goes to."""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from typing import Any

# in XML 1.0, and unprintable
_ILLEGAL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
# invisible, or turns lines
_TRICKY = re.compile(r"[\u061c\u200b\u200e\u200f\u2028\u2029\u202a-\u202e\u2060-\u2069\ufeff]")
_ESCAPE = re.compile(r"\x1b(\][^\x07\x1b]*(\x07|\x1b\\)?|\[[0-?]*[ -/]*[@-~]|[@-Z\\-_])?")
BLANK = "\N{OPEN BOX}"
UNSEEN = ("Cf", "Mn", "Me", "Cc")
LATIN = str.maketrans(
    "АВЕЅІЈКМНОРСТУХаеѕіјорсԁԛԝухһӏΑΒΕΖΗΙΚΜΝΟΡΤΥΧαγικνορυχ",
    "ABESIJKMHOPCTYXaesijopcdqwyxhlABEZHIKMNOPTYXayikvopux",
)
"""Letters of Cyrillic and Greek, and those for which they are taken."""
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "|", "＝", "＋", "－", "＠")


def legal(text: str) -> str:
    """`text` as any format can hold it: no control characters but newline and tab, no half pairs,
    no hidden marks."""
    text = _ESCAPE.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    return _TRICKY.sub("\N{REPLACEMENT CHARACTER}", _ILLEGAL.sub("\N{REPLACEMENT CHARACTER}", text))


def line(text: str, limit: int = 300) -> str:
    """`text` on one line of at most `limit` characters."""
    flat = " ".join(legal(text).split())
    return flat if len(flat) <= limit else f"{flat[: limit - 1]}…"


def cell(text: str) -> str:
    """`text` as a spreadsheet shows and never computes it: an apostrophe goes before what would
    begin a formula."""
    flat = line(text, 2000)
    return f"'{flat}" if flat.startswith(FORMULA) or text.startswith(FORMULA) else flat


def person(name: str) -> str:
    """The name of a student so that no two look alike on one line: blanks that would get lost there
    become visible."""
    shown = re.sub(r"[^\S ]", lambda blank: f"<U+{ord(blank[0]):04X}>", name)
    return re.sub(r"^ | $|(?<= ) ", BLANK, shown)


def look(name: str) -> str:
    """What a name looks like: letters of other alphabets, wide ones and those of formulas as the
    Latin ones that they are taken for, without what is not seen."""
    letters = unicodedata.normalize("NFKC", name).translate(LATIN)
    return "".join(letter for letter in letters if unicodedata.category(letter) not in UNSEEN)


def told_apart(names: Iterable[str]) -> dict[str, str]:
    """Each name as `person` shows it; of two that look alike whatever is not ASCII in them by its
    number."""
    every = list(dict.fromkeys(names))
    twins = Counter(look(person(name)) for name in every)
    return {
        name: person(name) if twins[look(person(name))] == 1 else _numbered(person(name))
        for name in every
    }


def _numbered(name: str) -> str:
    return "".join(
        letter if letter.isascii() or letter == BLANK else f"<U+{ord(letter):04X}>"
        for letter in name
    )


def finite(value: Any) -> Any:
    """`value` with every NaN and infinity as None, which JSON has no word for, and every text
    legal."""
    if isinstance(value, str):
        return legal(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {legal(str(name)): finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [finite(each) for each in value]
    return value


def number(value: float) -> str:
    """7.0 as "7", 7.25 as "7.25"."""
    return f"{value:.2f}".rstrip("0").rstrip(".") if math.isfinite(value) else ""
