"""The drawing of exercise 7 shows who read which slot, and what was read, left out or read twice
that should not be."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
from conftest import Type

from course.drawings import kernel_reads
from course.drawings.kernel_reads import CALL, KernelReads
from graders.registry.parts import part_in

FIRST, SECOND, THIRD = (0, 0, 0), (0, 0, 1), (1, 0, 0)
PART = Path("solutions", part_in("paged_attention").slug, "paged_attention.py")
needs_triton = pytest.mark.skipif(find_spec("triton") is None, reason="triton is not installed")


def right() -> KernelReads:
    """Six positions of request 0 for one program, five for another; request 1 for a third."""
    nobody = KernelReads(CALL, (FIRST, SECOND, THIRD), {}, {}, "", ())
    places = list(nobody.owned)
    readers = {
        place: frozenset([FIRST if at < 6 else SECOND if at < 11 else THIRD])
        for at, place in enumerate(places)
    }
    return replace(nobody, readers=readers, times=dict.fromkeys(places, 1))


def drawn(reads: KernelReads) -> list[str]:
    return [line.plain for line in kernel_reads.draw(reads)]


def test_each_slot_along_the_table_bears_the_letter_of_its_program() -> None:
    lines = drawn(right())
    reads = [line.split("reads ")[1] for line in lines if line.strip().startswith("reads ")]
    assert reads == ["AAAA AABB BBB·", "CCC·"]
    assert any(line.strip().startswith("A  program (0, 0, 0): 6 keys") for line in lines)
    assert lines[-1].startswith("out: every request")


def test_the_pool_shows_every_block_as_it_lies_in_memory() -> None:
    lines = drawn(right())
    pool = lines[lines.index("the pool, as it lies in memory") + 2].split()
    assert len(pool) == CALL.blocks
    for place, letter in (
        (CALL.tables[0][0], "AAAA"),
        (CALL.tables[0][2], "BBB·"),
        (CALL.tables[1][0], "CCC·"),
    ):
        assert pool[place] == letter


def test_what_is_read_twice_or_not_or_is_nobodys_is_marked() -> None:
    reads = right()
    first, beyond = (CALL.tables[0][0], 0), (CALL.tables[0][2], 3)
    twice = replace(reads, times={**reads.times, first: 2})
    missed = replace(
        reads, readers={place: who for place, who in reads.readers.items() if place != first}
    )
    stray = replace(reads, readers={**reads.readers, beyond: frozenset([SECOND])})
    for told, marked in ((twice, "2AAA"), (missed, "?AAA"), (stray, "BBB✗")):
        assert any(marked in line for line in drawn(told))


def test_a_wrong_row_and_an_address_outside_are_said_at_the_end() -> None:
    assert drawn(replace(right(), wrong=(1,)))[-1].startswith("✗ out[1] is not the softmax")
    outside = "Program (0, 0, 0) reads an address that lies in no tensor."
    assert drawn(replace(right(), outside=outside))[-1] == f"✗ {outside} The drawing ends there."


@pytest.mark.slow
@needs_triton
def test_show_draws_our_kernel_and_where_a_wrong_one_strays(tmp_path: Path) -> None:
    text = PART.read_text(encoding="utf-8")
    mask = "own = position < last"
    assert text.count(mask) == 1
    wrong = tmp_path / "paged_attention.py"
    wrong.write_text(text.replace(mask, "own = position < last + 1"), encoding="utf-8")
    ours, theirs = (_shown(str(part)) for part in ("solutions", wrong))
    assert "AAAA AABB BBB·" in ours
    assert "every request has the softmax" in ours
    assert "✗" in theirs.split("the pool")[0].split("\n", 3)[3]


def _shown(part: str) -> str:
    command = [sys.executable, "-m", "course", "show", "7", "--using", part]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_film_that_does_not_exist_is_said_in_a_sentence(course: Type) -> None:
    shown = course("show", "5", "--using", "solutions", "--html", "film.html")
    assert shown.code == 2
    assert "there is no film of exercise 5; course show 5 --svg FILE draws it." in shown.err
