"""What is answered when a request cannot be served: OpenAI's error object, under its status codes."""

from __future__ import annotations

import re
from typing import Any

from course.terminal import clean, shorten
from course.watchdog import NoAnswerInTime
from reference_engine.parts import PartError

TYPES = {
    401: "authentication_error",
    404: "not_found_error",
    429: "rate_limit_error",
    500: "server_error",
    503: "server_error",
}
_PATH = re.compile(r"(?:[A-Za-z]:)?(?:[/\\][^\s/\\'\"]+)+[/\\]")
"""The folders before a file's name."""
LONGEST_SENTENCE = 400


class ApiError(Exception):
    """A request is answered with `status` and a sentence. param: the parameter that is wrong.
    headers: beside it."""

    def __init__(
        self,
        status: int,
        sentence: str,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(sentence)
        self.status, self.headers = status, headers
        self.body = error_object(status, sentence, param, code)


def error_object(
    status: int, sentence: str, param: str | None = None, code: str | None = None
) -> dict[str, Any]:
    """`{"error": …}` as OpenAI's clients read it."""
    kind = TYPES.get(status, "invalid_request_error")
    return {"error": {"message": sentence, "type": kind, "param": param, "code": code}}


def broken_part(error: PartError) -> str:
    """Which part broke, in which step and how: one line, without the folders of this machine."""
    cause = error.__cause__
    if isinstance(cause, NoAnswerInTime):
        at = "" if error.step is None else f"step {error.step}: "
        return told(f"{error.slot}: {at}{cause}")
    return told(str(error))


def told(sentence: str) -> str:
    """A sentence that a client may read: one line, short, without the folders of this machine."""
    return shorten(_PATH.sub("", " ".join(clean(sentence).split())), LONGEST_SENTENCE)
