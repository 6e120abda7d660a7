"""The page as a file: style, script and records inline, under a policy that lets nothing else in."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from course.errors import Problem
from course.progress import replace_file
from course.window.frames import FrameWriter
from reference_engine.metrics import RequestInStep, StepRecord
from reference_engine.slots import Block, Plan

if TYPE_CHECKING:
    from reference_engine.engine import Engine

SCRIPTS = ("records", "strokes", "pool", "timeline", "cache_tree", "guess_tree", "telling", "page")
"""One script, in this order."""
NOTHING: Mapping[str, Any] = MappingProxyType({})
TALLEST = 900
"""Pixels of the window in a notebook."""


@dataclass(frozen=True, slots=True)
class EngineRun:
    """What is seen of one engine. blocks: of the pool, scratch included; size: their tokens.
    budget: tokens of a step.

    captions: for each record what was called and what came of it, and perhaps "bad", where the
    records are of calls and not of steps. names: of requests, where they have any.
    """

    name: str
    blocks: int
    size: int
    budget: int = 0
    trace: Sequence[StepRecord] = ()
    captions: Sequence[tuple[str, ...]] = ()
    names: Mapping[int, str] = field(default_factory=dict)

    @property
    def about(self) -> dict[str, Any]:
        """All but its steps, as the page reads it."""
        about = {"name": self.name, "blocks": self.blocks, "size": self.size, "budget": self.budget}
        return about | ({"names": dict(self.names)} if self.names else {})

    def told(self) -> dict[str, Any]:
        """As the page reads it."""
        writer = FrameWriter(self.size)
        steps = [writer.frame(record) for record in self.trace]
        for step, caption in zip(steps, self.captions, strict=False):
            step["l"] = list(caption)
        return self.about | {"steps": steps}


@dataclass(frozen=True, slots=True)
class Window:
    """The page on some engines, side by side; a notebook shows it. words: the text of each token.
    live: see `live`."""

    title: str
    runs: tuple[EngineRun, ...]
    words: Mapping[int, str]

    def html(self) -> str:
        """The whole page, to be opened from a file."""
        return _page(
            {
                "title": self.title,
                "runs": [run.told() for run in self.runs],
                "words": dict(self.words),
            }
        )

    def write(self, path: Path) -> None:
        """The page as a file. `Problem` when it cannot be written."""
        try:
            replace_file(path, self.html())
        except OSError as error:
            raise Problem(f"{path} cannot be written: {error.strerror or error}.") from error

    def _repr_html_(self) -> str:
        frame = f'sandbox="allow-scripts" width="100%" height="{TALLEST}" title="{html.escape(self.title)}"'
        return f'<iframe {frame} srcdoc="{html.escape(self.html())}"></iframe>'


def watch(engine: Engine, title: str = "An engine at work") -> Window:
    """What an engine that keeps its trace has done so far: the last line of a notebook's cell.

    Raises ValueError for an engine that keeps none.
    """
    if not engine.trace:
        raise ValueError(
            "there is nothing to watch: make the engine with keep_trace=True, and let it serve something"
        )
    run = EngineRun(
        title, engine.kv.num_blocks, engine.kv.block_size, engine.token_budget, tuple(engine.trace)
    )
    words = words_of(run.trace, engine.model.tokenizer.decode) if engine.model.source else {}
    return Window(title, (run,), words)


def live() -> str:
    """The page of a server: it holds nothing, and asks for everything at /trace, with the key if
    there is one."""
    return _page({"title": "An engine at work", "runs": [], "words": {}, "live": True}, live=True)


def policy(live: bool) -> str:
    """The content-security policy: our own style and script, by their hashes, and nobody to talk to
    but the server."""
    talk = "connect-src 'self'; " if live else ""
    style, script = _digest(_file("page.css")), _digest(_script())
    return f"default-src 'none'; {talk}style-src {style}; script-src {script}; base-uri 'none'; form-action 'none'"


def call_record(
    number: int,
    tables: Mapping[int, tuple[int, Sequence[Block]]],
    free: int,
    told: Mapping[str, Any] = NOTHING,
) -> StepRecord:
    """The record of a call. tables: (tokens, blocks) of each sequence after it. told: fields that
    are not empty."""
    seats = tuple(
        RequestInStep(id, length, length, tuple(table)) for id, (length, table) in tables.items()
    )
    empty = dict.fromkeys(("copies", "preempted", "finished", "aborted", "emitted", "cached"), ())
    fields: dict[str, Any] = {
        "number": number,
        "plan": Plan((), (), ()),
        "seats": seats,
        "free_blocks": free,
    }
    return StepRecord(**(fields | empty | {"running": len(seats), "waiting": 0} | dict(told)))


def words_of(trace: Iterable[StepRecord], decode: Callable[[list[int]], str]) -> dict[int, str]:
    """The text of every token that was read, guessed or said; `decode` turns ids into text."""
    met = {token for record in trace for tokens in _texts(record) for token in tokens}
    return {token: decode([token]) for token in sorted(met)}


def _texts(record: StepRecord) -> Iterable[Iterable[int]]:
    yield from (tokens for _, tokens in record.prompts)
    yield from (tokens for _, tokens in record.emitted)
    yield from ((*tree.tokens, tree.next) for tree in record.trees)


def _page(told: Mapping[str, Any], live: bool = False) -> str:
    text = (
        _file("page.html").replace("{policy}", policy(live)).replace("{style}", _file("page.css"))
    )
    return text.replace("{script}", _script()).replace("{records}", _as_data(told))


def _as_data(value: Any) -> str:
    """JSON, deflated, in base 64: a long run in a small file, and nothing that an element could end
    with."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return base64.b64encode(zlib.compress(text.encode(), 9)).decode()


def _script() -> str:
    return "\n".join(_file(f"{name}.js") for name in SCRIPTS)


def _file(name: str) -> str:
    return files("course.window").joinpath(name).read_text(encoding="utf-8").strip("\n")


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
