"""The page as a file: style, script and records inline, under a policy that lets nothing else in."""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from importlib.resources import files
from typing import Any

from course.window.frames import FrameWriter
from reference_engine.metrics import StepRecord


@dataclass(frozen=True, slots=True)
class Subject:
    """What is seen. blocks: of the pool, scratch included; size: their tokens. live: frames come from /trace."""

    title: str
    blocks: int
    size: int
    live: bool = False


def page(subject: Subject, trace: Iterable[StepRecord] = (), words: Mapping[int, str] | None = None) -> str:
    """The whole page. words: the text of each token that was said."""
    writer = FrameWriter()
    told = asdict(subject) | {"words": words or {}, "steps": [writer.frame(record) for record in trace]}
    style, script = _file("page.css"), _file("page.js")
    return (
        _file("page.html")
        .replace("{policy}", policy(subject.live))
        .replace("{style}", style)
        .replace("{script}", script)
        .replace("{records}", _as_data(told))
    )


def policy(live: bool) -> str:
    """The content-security policy: our own style and script, by their hashes, and nobody to talk to but the server."""
    style, script = _digest(_file("page.css")), _digest(_file("page.js"))
    talk = "connect-src 'self'; " if live else ""
    return f"default-src 'none'; {talk}style-src {style}; script-src {script}; base-uri 'none'; form-action 'none'"


def words_of(trace: Iterable[StepRecord], decode: Any) -> dict[int, str]:
    """The text of every token that was said; `decode` turns ids into text."""
    said = {token for record in trace for _, tokens in record.emitted for token in tokens}
    return {token: decode([token]) for token in sorted(said)}


def _as_data(value: Any) -> str:
    """JSON, deflated, in base 64: a long run in a small file, and nothing that an element could end with."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return base64.b64encode(zlib.compress(text.encode(), 9)).decode()


def _file(name: str) -> str:
    return files("course.window").joinpath(name).read_text(encoding="utf-8").strip("\n")


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
