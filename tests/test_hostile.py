"""Hostile and broken submissions get the outcome they must get, and leave nothing behind.

A selection: `make hostile` runs them all.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hostile import suite

import graders
from graders import Outcome, grade
from graders.isolation import HIGHEST

ROOT = Path(graders.__path__[0]).parent
FAST = [attack for attack in suite.attacks() if attack.fast]
HONEST = [part for part in suite.attacks("honest") if part.fast]
MANGLING = """
import random
import sys

from right import Right

dice = random.Random(@SEED@)
worker = sys.modules["child.worker"]
answer = worker.Shop.answer
JUNK = [None, True, -1, 2**62, 1.5, "", "x" * 300, [], [[]], {}, {"r": 1}, {"x": {}}]
JUNK += [{"copy": [1]}, {"s": 3}, {"type": []}]


def mangled(value):
    if dice.random() < 0.1:
        return dice.choice(JUNK)
    if type(value) is list:
        items = [mangled(item) for item in value]
        return items[1:] if items and dice.random() < 0.1 else items
    if type(value) is dict:
        return {dice.choice("rxs") if dice.random() < 0.05 else key: mangled(item) for key, item in value.items()}
    return value


worker.Shop.answer = lambda shop, request: answer(shop, request) and mangled(answer(shop, request)) or {}


class BlockManager(Right):
    pass
"""


@pytest.fixture(scope="module")
def place() -> Iterator[suite.Yard]:
    with suite.yard() as found:
        yield found


@pytest.mark.parametrize("level", [suite.BARE, HIGHEST])
@pytest.mark.parametrize("attack", FAST, ids=lambda attack: attack.name)
def test_an_attack_gets_what_it_must_and_leaves_nothing(attack: suite.Attack, level: str, place: suite.Yard) -> None:
    assert suite.wrong(attack, suite.run(attack, level, place)) == []
    assert suite.right_passes(level, place)


@pytest.mark.parametrize("part", HONEST, ids=lambda part: part.name)
def test_a_broken_part_that_means_no_harm_gets_one_helpful_sentence(part: suite.Attack, place: suite.Yard) -> None:
    assert suite.wrong(part, suite.run(part, HIGHEST, place)) == []


def test_every_attack_says_what_must_come_of_it() -> None:
    for attack in suite.attacks():
        assert "L1" in attack.expected, attack.name
        for _, outcomes in attack.expected.values():
            assert {Outcome(outcome) for outcome in outcomes}, attack.name


# ---------------------------------------------------------------- files as people save them


def saved(place: suite.Yard, data: bytes) -> str:
    """What the report on a file of these bytes says; "" when it passes."""
    place.set_up()
    place.submission.write_bytes(data)
    result = grade(1, place.submission, seed=suite.SEED, only=[suite.LAW])
    assert result.passed == (not result.problem)
    return result.problem


@pytest.fixture(scope="module")
def text() -> str:
    return suite.whole("# Größe\nfrom right import Right\n\n\nclass BlockManager(Right):\n    pass\n")


def test_windows_newlines_are_fine(place: suite.Yard, text: str) -> None:
    assert saved(place, text.replace("\n", "\r\n").encode()) == ""


def test_a_byte_order_mark_is_fine(place: suite.Yard, text: str) -> None:
    assert saved(place, text.encode("utf-8-sig")) == ""


def test_an_encoding_that_the_file_declares_is_fine(place: suite.Yard, text: str) -> None:
    assert saved(place, b"# -*- coding: latin-1 -*-\n" + text.encode("latin-1")) == ""


def test_an_undeclared_encoding_is_named_with_its_line(place: suite.Yard, text: str) -> None:
    expected = "block_manager.py is not UTF-8 text (byte 0xF6 in line 1); save it as UTF-8."
    assert saved(place, text.encode("latin-1")) == expected


def test_utf_16_is_named(place: suite.Yard, text: str) -> None:
    assert saved(place, text.encode("utf-16")) == "block_manager.py is UTF-16 text; save it as UTF-8."


def test_a_syntax_error_is_named_with_its_line(place: suite.Yard, text: str) -> None:
    problem = saved(place, (text + "\ndef f(:\n    pass\n").encode())
    assert problem.startswith("block_manager.py has a syntax error in line ")


def test_a_syntax_error_that_only_the_compiler_sees_is_named(place: suite.Yard, text: str) -> None:
    problem = saved(place, (text + "\nreturn 3\n").encode())
    assert problem.startswith("block_manager.py has a syntax error: 'return' outside function")


def test_a_missing_file_is_named_with_its_place(place: suite.Yard) -> None:
    place.set_up()
    place.submission.unlink(missing_ok=True)
    result = grade(1, place.submission)
    assert result.problem == f"block_manager.py is missing: there is no file {place.submission}."
    assert result.outcome is Outcome.FAIL


def test_an_empty_file_is_named(place: suite.Yard) -> None:
    assert saved(place, b"") == "block_manager.py defines no class BlockManager."


# ---------------------------------------------------------------- the wire, and the grader's own end


@pytest.mark.parametrize(("seed", "law"), [(1, "1.1"), (2, "1.4"), (3, "1.8"), (4, "1.10")])
def test_mangled_replies_are_never_believed_and_never_break_the_grader(seed: int, law: str, place: suite.Yard) -> None:
    """A worker that answers each request with a distorted copy of its own true answer."""
    place.set_up()
    place.submission.write_text(suite.whole(MANGLING).replace("@SEED@", str(seed)))
    result = grade(1, place.submission, seed=seed, only=[law])
    assert not result.passed
    assert Outcome.UNGRADED not in {law.outcome for law in result.laws}
    json.dumps(result.to_json())
    assert place.damage() == []


def test_a_part_that_kills_the_grader_ends_with_it_and_the_next_run_is_as_before(place: suite.Yard) -> None:
    """At L1, where nothing stops it: the grader is gone, and so is the part; nobody has a verdict."""
    killing = """
import os
import signal

from right import Right

print(os.getpid())
os.kill(int("@VICTIM@"), signal.SIGKILL)


class BlockManager(Right):
    pass
"""
    script = """
import os, sys
from pathlib import Path
sys.path[:0] = ["tests"]
from hostile import suite
from graders import grade
path = Path(sys.argv[1])
path.write_text(path.read_text().replace("@VICTIM@", str(os.getpid())))
with suite.bare():
    grade(1, path, only=["1.1"], isolation="L1")
print("a verdict")
"""
    place.set_up()
    place.submission.write_text(suite.whole(killing))
    done = subprocess.run([sys.executable, "-c", script, place.submission], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == -9
    assert "a verdict" not in done.stdout
    for pid in suite.census.descendants(os.getpid()):
        watch = os.pidfd_open(pid)
        assert select.select([watch], [], [], 20)[0], "something outlives the grader"
        os.close(watch)
        os.waitpid(pid, 0)
    assert suite.right_passes(suite.BARE, place)
