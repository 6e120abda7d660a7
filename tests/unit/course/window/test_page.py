"""The window as a file: everything inline, nothing that it could fetch, and what the records say."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import zlib
from html.parser import HTMLParser
from importlib.resources import files
from typing import Any

from course.window.frames import FrameWriter
from course.window.page import SCRIPTS, EngineRun, Window, live, policy, words_of
from reference_engine.metrics import CacheChange, RequestInStep, StepRecord, VerifiedTree
from reference_engine.slots import Chunk, Copy, Plan

HOSTILE = "</script><script>alert(1)</script><!--&"


def record(number: int, seats: dict[int, tuple[int, ...]], **more: Any) -> StepRecord:
    """A step in which everybody decodes."""
    chunks = tuple(Chunk(id, 4 * len(table) - 1, 1, True) for id, table in seats.items())
    told: dict[str, Any] = {
        "number": number,
        "plan": Plan(chunks, (), ()),
        "seats": tuple(RequestInStep(id, 4 * len(table), 5, table) for id, table in seats.items()),
        "emitted": tuple((id, (id + 3,)) for id in seats),
        "running": len(seats),
        "free_blocks": 9,
        "waiting": 0,
    }
    empty = dict.fromkeys(("copies", "preempted", "finished", "aborted", "cached"), ())
    return StepRecord(**(empty | told | more))


def page(
    trace: list[StepRecord],
    words: dict[int, str] | None = None,
    name: str = "a run",
    blocks: int = 10,
) -> str:
    return Window(name, (EngineRun(name, blocks, 4, 16, trace),), words or {}).html()


class Elements(HTMLParser):
    """What a page is made of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: dict[str, list[str]] = {}
        self._tag = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += attrs
        self._tag = tag

    def handle_data(self, data: str) -> None:
        self.texts.setdefault(self._tag, []).append(data)


def records_of(text: str) -> Any:
    return json.loads(zlib.decompress(base64.b64decode(Elements(text).texts["script"][0])))


def test_the_page_fetches_nothing_and_lets_nothing_in() -> None:
    text = page([record(0, {1: (1, 2)})])
    elements = Elements(text)
    assert not {name for name, _ in elements.attributes} & {
        "src",
        "href",
        "action",
        "onclick",
        "style",
    }
    assert "{" + "policy}" not in text
    inline = [elements.texts["style"][0], max(elements.texts["script"], key=len)]
    for piece in inline:
        digest = base64.b64encode(hashlib.sha256(piece.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in text
    assert "connect-src" not in policy(live=False)
    assert "unsafe" not in policy(live=True)


def test_what_a_model_says_stays_text() -> None:
    text = page([record(0, {1: (1,)})], {4: HOSTILE}, HOSTILE)
    assert text.count("<script") == 2
    assert records_of(text)["words"] == {"4": HOSTILE}
    assert records_of(text)["title"] == HOSTILE


def test_a_table_is_told_as_far_as_it_changed() -> None:
    writer = FrameWriter(4)
    steps = [
        record(0, {1: (1, 2)}),
        record(1, {1: (1, 2), 2: (1, 3)}, copies=(Copy(2, 3),)),
        record(2, {1: (1, 2, 4)}, preempted=(2,)),
        record(3, {2: (1, 5)}, finished=(1,)),
        record(4, {1: (1, 2)}),
    ]
    steps.append(record(5, {1: (1, 2, 3)}, shrunk=((1, 2),)))
    steps.append(record(6, {1: (1, 2, 3)}))
    frames = [writer.frame(each) for each in steps]
    assert (frames[5]["b"], frames[6]["t"]) == ([[1, 2]], [[1, 2, [3]]])
    assert [frame.get("t") for frame in frames] == [
        [[1, 0, [1, 2]]],
        [[2, 0, [1, 3]]],
        [[1, 2, [4]]],
        [[2, 0, [1, 5]]],
        [[1, 0, [1, 2]]],
        [[1, 2, [3]]],
        [[1, 2, [3]]],
    ]
    assert frames[1]["k"] == [[2, 3]]
    assert (frames[2]["p"], frames[3]["f"]) == ([2], [1])


def test_ten_thousand_steps_of_sixteen_requests_are_a_small_file() -> None:
    tables = {id: tuple(range(20 * id + 1, 20 * id + 17)) for id in range(16)}
    steps = [
        record(number, tables, emitted=tuple((id, ((id + 1) * number**2 % 1021,)) for id in tables))
        for number in range(10_000)
    ]
    text = page(steps, dict.fromkeys(range(30), "word"), blocks=400)
    assert len(text) < 1_500_000
    assert len(records_of(text)["runs"][0]["steps"]) == 10_000


def test_words_are_those_that_were_said() -> None:
    steps = [record(0, {1: (1,)}), record(1, {1: (1,), 4: (2,)})]
    assert words_of(steps, lambda ids: f"<{ids[0]}>") == {4: "<4>", 7: "<7>"}


def test_the_page_of_a_server_tells_nothing_of_it() -> None:
    assert records_of(live()) == {
        "title": "An engine at work",
        "runs": [],
        "words": {},
        "live": True,
    }
    assert "connect-src 'self'" in live()


def test_a_notebook_shows_the_page_in_a_frame_that_may_run_its_script_alone() -> None:
    shown = Window(HOSTILE, (EngineRun("one", 10, 4),), {})._repr_html_()
    (frame,) = Frames(shown).found
    assert frame["sandbox"] == "allow-scripts"
    assert "<!doctype html>" in str(frame["srcdoc"])
    assert records_of(str(frame["srcdoc"]))["title"] == HOSTILE


class Frames(HTMLParser):
    """The attributes of every element; there must be one alone."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[dict[str, str | None]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append(dict(attrs))


def test_a_cached_block_is_told_below_the_caches_own_block_of_the_text_before() -> None:
    writer = FrameWriter(2)
    prompt = (1, 2, 3, 4, 5, 6)
    steps = [
        record(
            0,
            {1: (1, 2, 3)},
            prompts=((1, prompt),),
            changes=(CacheChange((1, 2, 3), 1, 0),),
            emitted=(),
        ),
        record(
            1,
            {2: (7, 8, 9, 4)},
            prompts=((2, (*prompt, 7, 8)),),
            changes=(CacheChange((4,), 2, 3),),
            emitted=(),
        ),
        record(
            2, {2: (7, 8, 9, 4)}, changes=(CacheChange((4, 3)), CacheChange((9,), 2, 2)), emitted=()
        ),
        record(3, {5: (6,)}, changes=(CacheChange((6,), 5, 0),), emitted=((5, (1, 9, 9)),)),
    ]
    assert [writer.frame(each)["x"] for each in steps] == [
        [[1, 0, 0, [1, 2, 3]]],
        [[2, 3, 3, [4]]],
        [[[4, 3]], [2, 2, 2, [9]]],
        [[5, 0, 0, [6]]],
    ]


def test_the_shape_of_the_guess_tree_is_told_when_it_is_another() -> None:
    writer = FrameWriter(4)
    tree = VerifiedTree(1, (-1, 0, 0), (5, 6, 7), (8, 9, 10), (0, 2), 4, ((10, 9),))
    frames = [writer.frame(record(number, {1: (1,)}, trees=(tree,))) for number in range(2)]
    assert [frame.get("y") for frame in frames] == [[-1, 0, 0], None]
    assert frames[1]["g"] == [[1, [5, 6, 7], [0, 2], 4]]


def test_every_control_of_the_page_is_in_the_script() -> None:
    text = live()
    named = set(re.findall(r'id="([\w-]+)"', text))
    used = set(re.findall(r'\$\("([\w-]+)"\)', text))
    assert used <= named


def test_every_script_is_on_the_page() -> None:
    there = {each.name for each in files("course.window").iterdir()}
    assert {name for name in there if name.endswith(".js")} == {f"{name}.js" for name in SCRIPTS}
