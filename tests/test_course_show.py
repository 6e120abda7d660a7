"""Drawings show what the contract lets anybody see, for any right part, in the terminal and as SVG."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from conftest import Type
from rich.text import Text

from course import mixing, patience
from course.drawings import block_table, radix_tree, svg, timeline
from course.workspace import Workspace
from graders.catalogue import catalogue
from reference_engine import naive

BlockManager = mixing.choose(1, "solutions", None).load()
Scheduler = mixing.choose(2, "solutions", None).load()
PrefixCache = mixing.choose(3, "solutions", None).load()
READY = [number for number in (1, 2, 3) if catalogue(number).laws]


def frames() -> list[block_table.Frame]:
    manager = BlockManager(block_table.NUM_BLOCKS, block_table.BLOCK_SIZE, watermark=block_table.WATERMARK)
    return list(block_table.evening(manager))


def plain(lines: list[Text]) -> list[str]:
    return [line.plain for line in lines]


def test_the_evening_of_block_tables_shows_one_copy_and_one_refusal() -> None:
    answers = [frame.answer for frame in frames()]
    assert sum("copy" in answer for answer in answers) == 1
    assert answers.count("OutOfBlocks, nothing changed") == 1


def test_a_block_table_is_drawn_with_its_tokens_and_the_pool_with_its_readers() -> None:
    fork = frames()[3]
    lines = plain(block_table.draw(fork))
    first, second, third = fork.tables[0][2]
    assert f"{first}:####  {second}:####  {third}:##.." in " ".join(lines[1].split("tokens  ")[1].split("   "))
    assert f"{first}x2" in lines[-1]
    assert f"pool {fork.free:>3} free" in lines[-1]


def test_the_timeline_gives_every_guest_its_tokens_and_shows_a_preemption() -> None:
    run = timeline.play(timeline.scheduler(Scheduler, BlockManager))
    for guest, row in zip(run.guests, run.rows, strict=True):
        assert row.count("D") == guest.max_new - 1
        assert "P" in row
    assert any("x" in row for row in run.rows)
    assert max(run.tokens) <= timeline.BUDGET


def test_continuous_batching_takes_fewer_steps_than_static() -> None:
    ours = timeline.play(timeline.scheduler(Scheduler, BlockManager))
    static = timeline.play(timeline.scheduler(naive.Scheduler, BlockManager))
    assert ours.steps < static.steps
    assert sum(ours.tokens) >= sum(static.tokens) - timeline.BUDGET


def test_a_scheduler_that_never_ends_is_named_not_waited_for() -> None:
    class Stuck(Scheduler):  # type: ignore[misc, valid-type]
        def plan(self) -> object:
            return timeline.Plan((), (), ())

    with pytest.raises(timeline.Endless, match="were still not served"):
        timeline.play(timeline.scheduler(Stuck, BlockManager))


def test_the_radix_tree_follows_the_cache_through_locks_splits_and_evictions() -> None:
    cache = radix_tree.Watched(PrefixCache(radix_tree.BLOCK_SIZE))
    for call, play in radix_tree.EVENING:
        lines = plain(radix_tree.draw(cache, call, play(cache)))
        stored = sum(line.count("[") and len(line.split("[")[1].split("]")[0].split()) for line in lines[1:-1])
        assert stored == cache.cache.evictable + cache.cache.protected
        locked = any("locked by" in line for line in lines[1:-1])
        assert locked == (cache.cache.protected > 0)


def test_a_drawing_becomes_a_sound_svg_of_its_own() -> None:
    lines = [Text("a <b> & c", style="black on green"), Text("plain")]
    text = svg.render(lines, "title & more")
    assert text.count("<rect") == 2  # the paper, and the one background
    tree = ElementTree.fromstring(text)
    words = [node.text for node in tree.iter("{http://www.w3.org/2000/svg}text")]
    assert words == ["a <b> & c", "plain"]
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")


@pytest.mark.parametrize("number", READY)
def test_show_draws_and_writes_svg(course: Type, place: Workspace, number: int) -> None:
    shown = course("show", str(number), "--using", "solutions")
    assert shown.code == 0
    assert f"Exercise {number}" in shown.out
    assert max(map(len, shown.out.splitlines())) <= 100
    assert course("show", str(number), "--using", "solutions", "--svg", "drawing.svg").code == 0
    ElementTree.fromstring((place.root / "drawing.svg").read_text())


def test_show_of_a_stub_says_that_it_is_not_written_and_what_to_type(course: Type) -> None:
    shown = course("show", "1")
    assert shown.code == 1
    assert "not written yet" in shown.err
    assert "course show 1 --using solutions" in shown.err


def test_show_of_a_part_that_raises_shows_its_own_lines_only(course: Type, place: Workspace) -> None:
    path = place.exercises / catalogue(1).slug / "block_manager.py"
    path.write_text("class BlockManager:\n    def __init__(self, *_, **__):\n        1 / 0\n")
    shown = course("show", "1")
    assert shown.code == 1
    assert "ZeroDivisionError" in shown.err
    assert "block_manager.py:3 in __init__: 1 / 0" in shown.err
    assert "mixing.py" not in shown.err


def test_show_of_a_part_that_never_comes_back_says_so(
    course: Type, place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "PATIENCE", 0.1)
    path = place.exercises / catalogue(3).slug / "prefix_cache.py"
    path.write_text("class PrefixCache:\n    def __init__(self, block_size):\n        while True:\n            pass\n")
    shown = course("show", "3")
    assert shown.code == 1
    assert "an endless loop" in shown.err
    assert "in __init__" in shown.err


def test_an_svg_that_cannot_be_written_is_named(course: Type, tmp_path: Path) -> None:
    shown = course("show", "1", "--using", "solutions", "--svg", str(tmp_path / "gone" / "x.svg"))
    assert shown.code == 2
    assert "cannot be written" in shown.err
