"""The window as a file: everything inline, nothing that it could fetch, and what the records say."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import zlib
from html.parser import HTMLParser
from typing import Any

from course.window.frames import FrameWriter
from course.window.page import Subject, page, policy, words_of
from reference_engine.metrics import RequestInStep, StepRecord
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
    text = page(Subject("a run", 10, 4), [record(0, {1: (1, 2)})])
    elements = Elements(text)
    assert not {name for name, _ in elements.attributes} & {"src", "href", "action", "onclick", "style"}
    assert "{" + "policy}" not in text
    inline = [elements.texts["style"][0], max(elements.texts["script"], key=len)]
    for piece in inline:
        digest = base64.b64encode(hashlib.sha256(piece.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in text
    assert "connect-src" not in policy(live=False)
    assert "unsafe" not in policy(live=True)


def test_what_a_model_says_stays_text() -> None:
    text = page(Subject(HOSTILE, 10, 4), [record(0, {1: (1,)})], {4: HOSTILE})
    assert text.count("<script") == 2
    assert records_of(text)["words"] == {"4": HOSTILE}
    assert records_of(text)["title"] == HOSTILE


def test_a_table_is_told_as_far_as_it_changed() -> None:
    writer = FrameWriter()
    steps = [
        record(0, {1: (1, 2)}),
        record(1, {1: (1, 2), 2: (1, 3)}, copies=(Copy(2, 3),)),
        record(2, {1: (1, 2, 4)}, preempted=(2,)),
        record(3, {2: (1, 5)}, finished=(1,)),
        record(4, {1: (1, 2)}),
    ]
    frames = [writer.frame(each) for each in steps]
    assert [frame.get("t") for frame in frames] == [
        [[1, 0, [1, 2]]],
        [[2, 0, [1, 3]]],
        [[1, 2, [4]]],
        [[2, 0, [1, 5]]],
        [[1, 0, [1, 2]]],
    ]
    assert frames[1]["k"] == [[2, 3]]
    assert (frames[2]["p"], frames[3]["f"]) == ([2], [1])


def test_ten_thousand_steps_of_sixteen_requests_are_a_small_file() -> None:
    tables = {id: tuple(range(20 * id + 1, 20 * id + 17)) for id in range(16)}
    steps = [
        record(number, tables, emitted=tuple((id, ((id + 1) * number**2 % 1021,)) for id in tables))
        for number in range(10_000)
    ]
    text = page(Subject("long", 400, 16), steps, dict.fromkeys(range(30), "word"))
    assert len(text) < 1_500_000
    assert len(records_of(text)["steps"]) == 10_000


def test_words_are_those_that_were_said() -> None:
    steps = [record(0, {1: (1,)}), record(1, {1: (1,), 4: (2,)})]
    assert words_of(steps, lambda ids: f"<{ids[0]}>") == {4: "<4>", 7: "<7>"}


def test_every_control_of_the_page_is_in_the_script() -> None:
    text = page(Subject("a run", 10, 4))
    named = set(re.findall(r'id="([\w-]+)"', text))
    used = set(re.findall(r'\$\("([\w-]+)"\)', text))
    assert used <= named
