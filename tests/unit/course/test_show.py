"""Drawings show what the contract lets anybody see, for any right part, in the terminal and as SVG."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Type
from rich.text import Text

from course import watchdog
from course.drawings import block_table, guess_tree, radix_tree, svg, timeline
from course.playground import part_mix
from course.targets import solution_file
from course.workspace import Workspace
from graders.registry.catalogue import catalogue
from reference_engine import naive

BlockManager = part_mix.choose(1, "solutions", None).load()
Scheduler = part_mix.choose(2, "solutions", None).load()
PrefixCache = part_mix.choose(3, "solutions", None).load()
READY = [number for number in (1, 2, 3) if catalogue(number).laws]


def frames() -> list[block_table.Frame]:
    manager = BlockManager(
        block_table.NUM_BLOCKS, block_table.BLOCK_SIZE, watermark=block_table.WATERMARK
    )
    return list(block_table.frames(manager))


def plain(lines: list[Text]) -> list[str]:
    return [line.plain for line in lines]


def test_the_run_of_block_tables_shows_one_copy_and_one_refusal() -> None:
    answers = [frame.answer for frame in frames()]
    assert sum("copy" in answer for answer in answers) == 1
    assert answers.count("OutOfBlocks, nothing changed") == 1


def test_a_block_table_is_drawn_with_its_tokens_and_the_pool_with_its_readers() -> None:
    fork = frames()[3]
    lines = plain(block_table.draw(fork))
    first, second, third = fork.tables[0][2]
    assert f"{first}:####  {second}:####  {third}:##.." in " ".join(
        lines[1].split("tokens  ")[1].split("   ")
    )
    assert f"{first}x2" in lines[-1]
    assert f"pool {fork.free:>3} free" in lines[-1]


def test_the_timeline_gives_every_request_its_tokens_and_shows_a_preemption() -> None:
    run = timeline.play(timeline.scheduler(Scheduler, BlockManager))
    for request, row in zip(run.requests, run.rows, strict=True):
        assert row.count("D") == request.max_new - 1
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

    with pytest.raises(
        timeline.NeverIdle, match="`plan` is empty after 0 steps, and 7 requests are not served"
    ):
        timeline.play(timeline.scheduler(Stuck, BlockManager))


def test_the_radix_tree_follows_the_cache_through_locks_splits_and_evictions() -> None:
    cache = radix_tree.CheckedCache(PrefixCache)
    for call, play in radix_tree.CALLS:
        lines = plain(radix_tree.draw(cache, call, play(cache)))
        stored = sum(
            line.count("[") and len(line.split("[")[1].split("]")[0].split())
            for line in lines[1:-1]
        )
        assert stored == cache.cache.evictable + cache.cache.protected
        assert any("]  locked" in line for line in lines[1:-1]) == (cache.cache.protected > 0)
        assert "✗" not in "".join(lines)
    assert any("goes 1st" in line for line in lines)


class Forgetful(PrefixCache):  # type: ignore[misc, valid-type]
    """Does not lock."""

    def lock(self, node: object) -> None: ...
    def unlock(self, node: object) -> None: ...


class Backwards(PrefixCache):  # type: ignore[misc, valid-type]
    """Everything goes, in the wrong order."""

    def evict(self, num_blocks: int) -> list[int]:
        return list(reversed(super().evict(num_blocks)))


class Swapped(PrefixCache):  # type: ignore[misc, valid-type]
    """Says other blocks than were stored."""

    def match(self, tokens: list[int], namespace: object = None) -> object:
        found = super().match(tokens, namespace)
        return replace(found, blocks=found.blocks[::-1])


@pytest.mark.parametrize(
    ("part", "says"),
    [
        (Forgetful, "Block 1 (you are the waiter) should be locked."),
        (Backwards, "These should go in the order 6 5 4 3 2 1, not 1 2 3 4 5 6."),
        (Swapped, "Block 1 should stand here (you are the waiter), not block 6."),
    ],
)
def test_the_tree_is_the_parts_own_and_where_it_strays_is_said(part: type, says: str) -> None:
    cache = radix_tree.CheckedCache(part)
    drawn = [
        plain(radix_tree.draw(cache, call, play(cache))) for call, play in radix_tree.CALLS[:2]
    ]
    assert f"  ✗ {says}" in [line for lines in drawn for line in lines]


def test_what_breaks_the_contract_is_crossed_out_with_what_is_due() -> None:
    cache = radix_tree.CheckedCache(Swapped)
    lines = radix_tree.draw(cache, "insert", radix_tree.CALLS[0][1](cache))
    crossed = [line for line in lines if any("strike" in str(span.style) for span in line.spans)]
    assert "✗ should be block 1" in crossed[0].plain
    missing = radix_tree.compared(radix_tree.TreeView({}, frozenset(), ()), cache.due)
    assert set(missing.wrong.values()) == {"missing"}
    assert missing.blocks == cache.due.blocks


def test_evictions_stand_in_their_order_beside_the_one_that_is_due() -> None:
    told = []
    for part in (PrefixCache, Backwards):
        cache = radix_tree.CheckedCache(part)
        told.append([play(cache) for _, play in radix_tree.CALLS][5])
    assert told == [
        "freed blocks 12, then 11, then 18",
        "freed blocks 18, then 11, then 12  ✗ due: blocks 12, then 11, then 18",
    ]


def test_the_arithmetic_of_guesses_adds_up_and_nothing_counts_behind_the_end() -> None:
    answer = guess_tree.play(part_mix.choose(4, "solutions", None).load())
    assert answer.tokens == 1 + sum(tree.gained for tree in answer.passes)
    for tree in answer.passes:
        assert tree.gained <= tree.stood + 1
        assert all(0 in node.sees for node in tree.nodes)
        assert len({node.slot for node in tree.nodes}) == len(tree.nodes)
        assert [node.position - tree.nodes[0].position for node in tree.nodes] == [
            len(node.path) for node in tree.nodes
        ]
    last = answer.passes[-1]
    assert last.gained < last.stood + 1, "what stands behind the end is none of the answer's"
    text = "\n".join(plain(guess_tree.draw(answer)))
    assert f"{answer.tokens} tokens = 1 from the question + " in text


def test_looking_at_the_tree_does_not_change_it() -> None:
    looked, alone = radix_tree.CheckedCache(PrefixCache), radix_tree.CheckedCache(PrefixCache)
    for _, play in radix_tree.CALLS:
        assert looked.seen == looked.seen
        assert play(looked) == play(alone)


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
    assert course("show", str(number), "--using", "solutions", "--html", "film.html").code == 0
    assert "<!doctype html>" in (place.root / "film.html").read_text()


def test_show_of_a_stub_says_that_it_is_not_written_and_what_to_type(course: Type) -> None:
    shown = course("show", "1")
    assert shown.code == 1
    assert "not written yet" in shown.err
    # ours is the last thing to look at
    assert shown.err.index("course lesson 1") < shown.err.index("--using solutions")


def test_show_of_a_part_that_raises_shows_its_own_lines_only(
    course: Type, place: Workspace
) -> None:
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
    monkeypatch.setattr(watchdog, "STALL_SECONDS", 0.1)
    path = place.exercises / catalogue(3).slug / "prefix_cache.py"
    path.write_text(
        "class PrefixCache:\n    def __init__(self, block_size):\n        while True:\n            pass\n"
    )
    shown = course("show", "3")
    assert shown.code == 1
    assert shown.err.startswith("`__init__` did not come back (waited 0 s): an endless loop?\n")
    assert "in __init__" in shown.err
    assert "Next: course check 3" in shown.err


def test_show_of_a_file_that_is_never_imported_says_so(
    course: Type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchdog, "STALL_SECONDS", 0.1)
    path = tmp_path / "part.py"
    path.write_text("while True:\n    pass\n")
    shown = course("show", "3", "--using", str(path))
    assert shown.code == 1
    assert shown.err.startswith(
        "The file was still not imported after 0 s: a loop at module level?\n"
    )


def test_what_could_be_drawn_is_shown_before_what_is_not_written(
    course: Type, place: Workspace
) -> None:
    path = place.exercises / catalogue(3).slug / "prefix_cache.py"
    text = solution_file(catalogue(3)).read_text(encoding="utf-8")
    head = "    def lock(self, node: object) -> None:\n"
    assert head in text
    path.write_text(
        text.replace(head, f'{head}        raise NotImplementedError("your code: lock")\n')
    )
    shown = course("show", "3")
    assert shown.code == 1
    assert "insert(menu + Ada's soup)" in shown.out
    assert "unlock(Bob)" not in shown.out
    assert "not written yet: your code: lock" in shown.err


def test_an_svg_that_cannot_be_written_is_named(course: Type, tmp_path: Path) -> None:
    shown = course("show", "1", "--using", "solutions", "--svg", str(tmp_path / "gone" / "x.svg"))
    assert shown.code == 2
    assert "cannot be written" in shown.err
