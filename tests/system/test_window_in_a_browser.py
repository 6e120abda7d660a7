"""The window in a real browser: it draws, each control does what it says, and nothing overflows a
phone.

Skipped without a Chromium, which $CHROMIUM may name. $WINDOW_PICTURES names a folder in which
screenshots are kept.
"""

from __future__ import annotations

import json
import os
import re
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
CUT = """[...document.querySelectorAll(".request, .chip, button, .key, #events li")]
    .filter((one) => one.scrollHeight > one.clientHeight + 1 || one.scrollWidth > one.clientWidth + 1)
    .filter((one) => getComputedStyle(one).overflow !== "visible").map((one) => one.textContent)"""
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
        "mine": serve.serve(model, part_mix.parts(choices), asked, SIZES).trace,
        "naive": serve.serve(model, naive.parts(), asked, SIZES).trace,
    }
    words = words_of(
        [record for trace in traces.values() for record in trace], model.tokenizer.decode
    )
    pool = SIZES.num_blocks, SIZES.block_size, SIZES.token_budget
    return Window(
        LONG, tuple(EngineRun(name, *pool, trace) for name, trace in traces.items()), words
    )


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


def numbers(text: str) -> list[int]:
    return [int(digits) for digits in re.findall(r"\d+", text)]


def go_to(page: Page, number: int) -> None:
    page.run(f"document.getElementById('scrub').oninput({{target: {{value: {number}}}}})")
    page.run("new Promise(requestAnimationFrame)")


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
    for key, place in (
        ("ArrowRight", 1),
        ("End", last),
        ("ArrowLeft", last - 1),
        ("Home", 0),
        ("PageDown", last),
    ):
        page.press(key)
        assert step(page) == min(place, last)
    page.run(
        "scrub = document.getElementById('scrub'), scrub.value = 3, scrub.oninput({target: scrub})"
    )
    assert text(page, "now").startswith("Step 3:")


def test_play_goes_on_and_stops(page: Page) -> None:
    click(page, "play")
    assert text(page, "play") == "Pause"
    page.run(until("document.getElementById('step').value > 1"))
    click(page, "play")
    assert text(page, "play") == "Play"


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("preempted", "Preempted"),
        ("shared", "are shared now"),
        ("evicted", "Evicted from the prefix cache"),
    ],
)
def test_what_happens_is_found_and_told(page: Page, what: str, says: str) -> None:
    click(page, f"find-{what}")
    assert says in text(page, "events")


def test_the_header_and_the_picture_count_alike_in_every_step(page: Page, window: Window) -> None:
    for place, run in enumerate(window.runs):
        click(page, f"name-{place}")
        for number, record in enumerate(run.trace):
            go_to(page, number)
            free, freed, aside, *_ = drawn = numbers(
                page.run("document.getElementById('pool').ariaLabel")
            )
            assert free + freed == record.free_blocks, (place, number, drawn)
            assert f" {record.free_blocks} of {run.blocks - 1} blocks are free" in text(page, "now")
            assert place or not aside, "only the naive part sets blocks aside"


def test_guesses_that_stood_are_as_many_in_chip_verdict_and_tree(
    page: Page, window: Window
) -> None:
    ended = 0
    for number, record in enumerate(window.runs[0].trace):
        said = dict(record.emitted)
        for tree in record.trees:
            go_to(page, number)
            page.press("Escape")
            mine = (
                "[...document.querySelectorAll('#guessers button')].find(b => "
                f"b.textContent.startsWith('{tree.id}: '))"
            )
            stood = numbers(page.run(f"(chip => (chip.click(), chip.textContent))({mine})"))[1]
            page.run("new Promise(requestAnimationFrame)")
            green = page.run("document.querySelectorAll('.node.stood').length")
            own = page.run("document.querySelectorAll('.node.next').length")
            assert stood == green == len(said[tree.id]) - own
            assert f"{stood} stood" in text(page, "verdict") or not stood
            ended += not own
    assert ended


def test_who_says_several_tokens_is_not_said_to_say_one(page: Page, window: Window) -> None:
    for number, record in enumerate(window.runs[0].trace):
        go_to(page, number)
        told = text(page, "events").replace("“", "\n“")
        ones = sum(
            map(int, re.findall(r"(\d+) (?:other )?requests? says? (?:its|their) next", told))
        )
        fallen = [
            each.split(", ") for each in re.findall(r"guesses for ([\d, ]+) none stood", told)
        ]
        assert ones + sum(map(len, fallen)) == sum(
            chunk.length == 1 for chunk in record.plan.chunks if chunk.samples
        ) - sum(len(tokens) > 1 for _, tokens in record.emitted), told


def test_who_says_one_token_though_it_had_guesses_is_told_by_name(
    page: Page, window: Window
) -> None:
    seen = 0
    for number, record in enumerate(window.runs[0].trace):
        said = dict(record.emitted)
        alone = {
            str(tree.id) for tree in record.trees if len(tree.walk) == 1 and len(said[tree.id]) == 1
        }
        go_to(page, number)
        named = re.findall(r"guesses for ([\d, ]+) none stood", text(page, "events"))
        assert {name for each in named for name in each.split(", ")} == alone
        seen += len(alone)
    assert seen


def test_a_preemption_tells_what_was_lacking(page: Page, window: Window) -> None:
    for number in (
        number for number, record in enumerate(window.runs[0].trace) if record.preempted
    ):
        go_to(page, number)
        told = page.run("document.querySelector('#events .bad').textContent")
        words = told.partition("To go on")[2].partition("Of ")[0]
        needed, free, *idle = numbers(words)
        assert needed > free + sum(idle), words


def test_what_is_said_of_a_block_goes_with_the_step(page: Page) -> None:
    move = "(pool => pool.onmousemove({offsetX: 30, offsetY: 5}))(document.getElementById('pool'))"
    page.run(move)
    met = set[str]()
    for number in range(8):
        go_to(page, number)
        said = text(page, "block")
        page.run(move)
        assert text(page, "block") == said
        met.add(said)
    assert len(met) > 1


def test_guesses_are_a_tree_in_which_some_stood_and_some_are_struck_through(page: Page) -> None:
    click(page, "find-guessed")
    assert "rejected (struck through)" in text(page, "verdict")
    struck = "getComputedStyle(document.querySelector('.node.fell tspan')).textDecorationLine"
    assert page.run(struck) == "line-through"
    assert page.run("document.querySelectorAll('.node.stood, .node.next').length") > 0
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
        assert page.run(CUT) == []


def test_a_server_with_a_key_asks_for_it_and_then_shows_its_engine_live(tmp_path: Path) -> None:
    pytest.importorskip("uvicorn")
    from servers import listening

    from course.server.limits import Limits

    with (
        listening(Limits(key="salt & pepper")) as (port, thread),
        open_page(tmp_path / "browser") as page,
    ):
        page.open(f"http://127.0.0.1:{port}/")
        page.run(until("!document.getElementById('locked').hidden"))
        assert text(page, "now") == "Nothing has run yet."
        page.run("document.getElementById('key').value = 'salt & pepper'")
        page.run("document.getElementById('enter').click()")
        page.run(until("document.title.startsWith('waiter')"))
        ask = urllib.request.Request(
            f"http://127.0.0.1:{port}/v1/completions",
            json.dumps(
                {"model": "waiter", "prompt": "Waiter:", "max_tokens": 5, "ignore_eos": True}
            ).encode(),
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
