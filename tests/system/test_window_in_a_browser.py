"""The window in a real browser: it draws, each control does what it says, and nothing overflows a phone.

Skipped without a Chromium, which $CHROMIUM may name. $WINDOW_PICTURES names a folder in which screenshots are kept.
"""

from __future__ import annotations

import json
import os
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from browser import CHROMIUM, Page, open_page

from course.playground import part_mix, serve
from course.window.page import EngineRun, Window, words_of
from reference_engine import naive
from reference_engine.model_loader import load_model
from reference_engine.waiter.corpus import guests
from reference_engine.waiter.menu import restaurants

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")]
SIZES = serve.EngineSizes(num_blocks=40, keep_trace=True)
SCRUB = """(() => {  // milliseconds of script that a step takes, on average over the whole run
    const scrub = document.getElementById("scrub"), later = requestAnimationFrame, began = performance.now();
    window.requestAnimationFrame = (draw) => draw();
    for (let i = 1; i <= 40; i++) { scrub.value = (i * 7919) % scrub.max; scrub.oninput({ target: scrub }); }
    window.requestAnimationFrame = later;
    return (performance.now() - began) / 40;
})()"""
LONG = "a very long name of a run, " * 20 + "x" * 200


def until(true: str) -> str:
    """A script that is over once an expression is true."""
    return f"new Promise((then) => {{ const look = () => {true} ? then(0) : setTimeout(look, 20); look(); }})"


@pytest.fixture(scope="module")
def window() -> Window:
    """A short run in which everything happens, the naive parts beside it."""
    model = load_model("waiter")
    asked = serve.requests(model, list(guests(restaurants()[0], 12, 0)))
    choices = part_mix.mix(("solutions:4",), None)
    traces = {
        "these parts": serve.serve(model, part_mix.parts(choices), asked, SIZES).trace,
        "naive parts": serve.serve(model, naive.parts(), asked, SIZES).trace,
    }
    words = words_of([record for trace in traces.values() for record in trace], model.tokenizer.decode)
    pool = SIZES.num_blocks, SIZES.block_size, SIZES.token_budget
    return Window(LONG, tuple(EngineRun(name, *pool, trace) for name, trace in traces.items()), words)


@pytest.fixture
def page(tmp_path: Path, window: Window, request: pytest.FixtureRequest) -> Iterator[Page]:
    """The window, opened from a file. Nothing may come on the console."""
    window.write(tmp_path / "window.html")
    with open_page(tmp_path / "browser") as page:
        page.resize(1200, 900)
        page.open((tmp_path / "window.html").as_uri())
        yield page
        if pictures := os.environ.get("WINDOW_PICTURES"):
            page.picture(Path(pictures) / f"{request.node.name}.png")
        assert page.said == []


def text(page: Page, id: str) -> str:
    shown: str = page.run(f"document.getElementById('{id}').textContent")
    return shown


def click(page: Page, id: str) -> None:
    page.run(f"document.getElementById('{id}').click()")


def step(page: Page) -> int:
    return int(page.run("document.getElementById('step').value"))


def test_buttons_and_keys_go_where_they_say(page: Page, window: Window) -> None:
    last = len(window.runs[0].trace) - 1
    assert step(page) == 0
    click(page, "next")
    assert step(page) == 1
    click(page, "last")
    assert step(page) == last
    click(page, "back")
    assert step(page) == last - 1
    click(page, "first")
    assert step(page) == 0
    for key, place in (("ArrowRight", 1), ("End", last), ("ArrowLeft", last - 1), ("Home", 0), ("PageDown", last)):
        page.press(key)
        assert step(page) == min(place, last)
    page.run("scrub = document.getElementById('scrub'), scrub.value = 3, scrub.oninput({target: scrub})")
    assert text(page, "now").startswith("Step 3:")


def test_play_goes_on_and_stops(page: Page) -> None:
    click(page, "play")
    assert text(page, "play") == "Pause"
    page.run(until("document.getElementById('step').value > 1"))
    click(page, "play")
    assert text(page, "play") == "Play"


@pytest.mark.parametrize(
    ("what", "says"),
    [("preempted", "Preempted"), ("shared", "are shared now"), ("evicted", "Evicted from the prefix cache")],
)
def test_what_happens_is_found_and_told(page: Page, what: str, says: str) -> None:
    click(page, f"find-{what}")
    assert says in text(page, "events")


def test_guesses_are_a_tree_in_which_some_stood_and_some_are_struck_through(page: Page) -> None:
    click(page, "find-guessed")
    assert "rejected (struck through)" in text(page, "verdict")
    struck = "getComputedStyle(document.querySelector('.node.fell tspan')).textDecorationLine"
    assert page.run(struck) == "line-through"
    assert page.run("document.querySelectorAll('.node.stood').length") > 0
    assert page.run("document.querySelectorAll('.node.next').length") == 1


def test_a_request_that_is_picked_shows_its_table_and_its_words(page: Page) -> None:
    click(page, "find-shared")
    page.run("document.querySelector('.request').click()")
    assert "Block table: " in text(page, "table")
    assert "menu" in text(page, "words")
    assert page.run("document.querySelectorAll('#table .chip').length") > 1
    page.press("Escape")
    assert page.run("document.getElementById('one').hidden")


def test_the_other_engine_is_a_click_away(page: Page, window: Window) -> None:
    click(page, "name-1")
    assert page.run("document.getElementById('s-guess').hidden")
    click(page, "last")
    assert step(page) == len(window.runs[1].trace) - 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1400])
def test_nothing_overflows(page: Page, width: int, scheme: str) -> None:
    page.resize(width, 800, scheme)
    for what in ("preempted", "guessed", "shared"):
        click(page, f"find-{what}")
        assert page.run("document.documentElement.scrollWidth") <= width


def test_a_server_with_a_key_asks_for_it_and_then_shows_its_engine_live(tmp_path: Path) -> None:
    pytest.importorskip("uvicorn")
    from servers import listening

    from course.server.limits import Limits

    with listening(Limits(key="salt & pepper")) as (port, thread), open_page(tmp_path / "browser") as page:
        page.open(f"http://127.0.0.1:{port}/")
        page.run(until("!document.getElementById('locked').hidden"))
        assert text(page, "now") == "Nothing has run yet."
        page.run("document.getElementById('key').value = 'salt & pepper'")
        page.run("document.getElementById('enter').click()")
        page.run(until("document.title.startsWith('waiter')"))
        ask = urllib.request.Request(
            f"http://127.0.0.1:{port}/v1/completions",
            json.dumps({"model": "waiter", "prompt": "Waiter:", "max_tokens": 5, "ignore_eos": True}).encode(),
            {"Content-Type": "application/json", "Authorization": "Bearer salt & pepper"},
        )
        urllib.request.urlopen(ask).read()
        page.run(until("document.getElementById('now').textContent.startsWith('Step 4:')"))
        page.run("document.querySelector('.request').click()")
        assert "Waiter" in text(page, "words")
        assert [line for line in page.said if "401" not in line] == []
    assert thread.unfinished == 0


def test_ten_thousand_steps_are_a_small_file_in_which_a_step_costs_what_it_costs_in_a_short_one(
    tmp_path: Path, window: Window
) -> None:
    run, spent = window.runs[0], []
    long = replace(run, trace=[*run.trace] * (10_000 // len(run.trace) + 1))
    assert len(Window("long", (long,), window.words).html()) < 1_500_000
    with open_page(tmp_path / "browser") as page:
        for shown in (run, long):
            Window("steps", (shown,), window.words).write(tmp_path / "window.html")
            page.open((tmp_path / "window.html").as_uri())
            spent.append(page.run(SCRUB))
        assert page.said == []
    told = ", ".join(f"{milliseconds:.1f}" for milliseconds in spent)
    print(f"a step is drawn in {told} ms (short and long run)")
    assert spent[1] < 10 * spent[0]
