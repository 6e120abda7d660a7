"""Stop strings in a text that comes piece by piece, wherever the borders of the pieces are."""

from __future__ import annotations

from collections.abc import Sequence


class StopStrings:
    """Holds back what may become a stop string, and cuts the text before the first one that is
    complete."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._longest = max(map(len, self._stops), default=0)
        self._held = ""

    def push(self, text: str) -> tuple[str, bool]:
        """The text that may be shown now, and whether a stop string has come; nothing is to be
        pushed after it."""
        text = self._held + text
        places = [place for place in map(text.find, self._stops) if place >= 0]
        if places:
            self._held = ""
            return text[: min(places)], True
        kept = self._beginning(text)
        self._held = text[len(text) - kept :]
        return text[: len(text) - kept], False

    def flush(self) -> str:
        """What is held back: the text is over."""
        held, self._held = self._held, ""
        return held

    def _beginning(self, text: str) -> int:
        """How many characters at the end of the text are the beginning of a stop string."""
        for size in range(min(len(text), self._longest - 1), 0, -1):
            if any(stop.startswith(text[-size:]) for stop in self._stops):
                return size
        return 0
