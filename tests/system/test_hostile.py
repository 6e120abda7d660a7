"""Hostile and broken submissions get the outcome they must get, and leave nothing behind.

A selection; the others are marked slow, and `make hostile` runs them all and prints a table.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hostile import suite

import graders.sandbox.worker
from graders import Outcome, grade
from graders.batch import device_lock
from graders.batch.grade_job import decide
from graders.sandbox.isolation import HIGHEST, Process, spawn

ROOT = Path(graders.__path__[0]).parent
EVERY = [*suite.attacks(), *suite.attacks("honest")]
FAST = [attack for attack in suite.attacks() if attack.fast]
HONEST = [part for part in suite.attacks("honest") if part.fast]
SLOW = [attack for attack in EVERY if not attack.fast]
MANGLING = """
import json
import os
import random
import sys

from right import Right

dice = random.Random(@SEED@)
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


def exactly(wire, count):
    data = b""
    while len(data) < count:
        data += os.read(wire, count - len(data)) or os._exit(0)
    return data


def take_over():
    frame = sys._getframe()
    while "worker_parts" not in frame.f_locals or "wire" not in frame.f_locals:
        frame = frame.f_back
    shop, wire, request = (frame.f_locals[name] for name in ("worker_parts", "wire", "request"))
    while True:
        payload = json.dumps({**(mangled(shop.answer(request)) or {}), "id": request["id"]}).encode()
        os.write(wire, len(payload).to_bytes(4, "big") + payload)
        request = json.loads(exactly(wire, int.from_bytes(exactly(wire, 4), "big")))


class BlockManager(Right):
    taken = False

    def __init__(self, *args, **keywords):
        if not BlockManager.taken:
            BlockManager.taken = True
            take_over()
        super().__init__(*args, **keywords)
"""


@pytest.fixture(scope="module")
def place() -> Iterator[suite.Yard]:
    with suite.yard() as found:
        yield found


@pytest.mark.parametrize("level", [suite.BARE, HIGHEST])
@pytest.mark.parametrize("attack", FAST, ids=lambda attack: attack.name)
def test_an_attack_gets_what_it_must_and_leaves_nothing(
    attack: suite.Attack, level: str, place: suite.Yard
) -> None:
    assert suite.wrong(attack, suite.run(attack, level, place)) == []
    assert suite.right_passes(level, place)


@pytest.mark.slow
@pytest.mark.parametrize("level", [suite.BARE, HIGHEST])
@pytest.mark.parametrize("attack", SLOW, ids=lambda attack: attack.name)
def test_every_other_attack_too(attack: suite.Attack, level: str, place: suite.Yard) -> None:
    assert suite.wrong(attack, suite.run(attack, level, place)) == []
    assert suite.right_passes(level, place)


@pytest.mark.parametrize("part", HONEST, ids=lambda part: part.name)
def test_a_broken_part_that_means_no_harm_gets_one_helpful_sentence(
    part: suite.Attack, place: suite.Yard
) -> None:
    assert suite.wrong(part, suite.run(part, HIGHEST, place)) == []


@pytest.mark.parametrize("attack", suite.outside(), ids=lambda attack: attack.name)
def test_a_hostile_hand_in_file_or_client_gets_nothing(
    attack: suite.Outside, tmp_path: Path
) -> None:
    assert attack.got(tmp_path) == []


def test_an_honest_part_gets_a_sentence_or_full_marks() -> None:
    for part in suite.attacks("honest"):
        assert part.says or part.expected["L1"] == ("", ("pass",)), part.name


def test_every_attack_says_what_must_come_of_it() -> None:
    for attack in EVERY:
        assert "L1" in attack.expected, attack.name
        for _, outcomes in attack.expected.values():
            assert {Outcome(outcome) for outcome in outcomes}, attack.name


@pytest.mark.slow
def test_others_may_be_timed_while_a_part_that_dies_slowly_is_ended(
    place: suite.Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its children stop the supervisor whenever anybody lets it go on. The lock is free, and none
    of them runs."""
    (attack,) = (each for each in suite.attacks() if each.name == "dies_slowly_when_it_is_timed")
    place.set_up()
    path = place.hand_in(attack.exercise, suite.whole(attack.text, place.places(), attack.exercise))
    home, free, end = place.folder / "device", list[bool](), Process.end
    home.mkdir()

    def noted(process: Process) -> None:
        free.append(_is_free(home / "cpu.lock"))
        end(process)

    monkeypatch.setattr(device_lock, "_home", lambda: home)
    monkeypatch.setattr(Process, "end", noted)
    monkeypatch.setattr(
        graders.sandbox.worker,
        "spawn",
        lambda _, limits=None, *, without=(): spawn("L1", limits, without=LOCKS),
    )
    result = decide(1, path, suite.SEED, laws_only=False, require="L1", only=(attack.law,))
    assert result.outcome is Outcome.CRASH
    assert free[-2:] == [True, True]
    assert place.damage() == []


LOCKS = ("seccomp", "uid")


def _is_free(path: Path) -> bool:
    with path.open("wb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


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
    return suite.whole(
        "# Größe\nfrom right import Right\n\n\nclass BlockManager(Right):\n    pass\n"
    )


def test_windows_newlines_are_fine(place: suite.Yard, text: str) -> None:
    assert saved(place, text.replace("\n", "\r\n").encode()) == ""


def test_a_byte_order_mark_is_fine(place: suite.Yard, text: str) -> None:
    assert saved(place, text.encode("utf-8-sig")) == ""


def test_an_encoding_that_the_file_declares_is_fine(place: suite.Yard, text: str) -> None:
    assert saved(place, b"# -*- coding: latin-1 -*-\n" + text.encode("latin-1")) == ""


def test_an_undeclared_encoding_is_named_with_its_line(place: suite.Yard, text: str) -> None:
    expected = "block_manager.py is not UTF-8 text (byte 0xF6 in line 1); save it as UTF-8."
    assert saved(place, text.encode("latin-1")) == expected


def test_utf_16_is_fine_if_it_says_so(place: suite.Yard, text: str) -> None:
    assert saved(place, text.encode("utf-16")) == ""


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
    assert (
        saved(place, b"")
        == "block_manager.py is empty and no Python source; hand in the part itself."
    )


# ---------------------------------------------------------------- the wire, and the grader's own
# end


@pytest.mark.parametrize(("seed", "law"), [(1, "1.1"), (2, "1.4"), (3, "1.8"), (4, "1.10")])
def test_mangled_replies_are_never_believed_and_never_break_the_grader(
    seed: int, law: str, place: suite.Yard
) -> None:
    """A part that never returns and answers each request itself with a distorted copy of the true
    answer."""
    place.set_up()
    place.submission.write_text(suite.whole(MANGLING).replace("@SEED@", str(seed)))
    result = grade(1, place.submission, seed=seed, only=[law])
    assert not result.passed
    assert Outcome.UNGRADED not in {law.outcome for law in result.laws}
    json.dumps(result.to_json())
    assert place.damage() == []


SLEEPING = """
import time

from right import Right


class BlockManager(Right):
    def admit(self, *args):
        time.sleep(@SECONDS@)
        return super().admit(*args)
"""
HARMING = """
import os
import signal

from right import Right

os.kill(int("@VICTIM@"), signal.@SIGNAL@)


class BlockManager(Right):
    pass
"""
GRADER = """
import os, sys
from pathlib import Path
sys.path[:0] = ["tests"]
from hostile import suite
from graders import grade
path = Path(sys.argv[1])
path.write_text(path.read_text().replace("@VICTIM@", str(os.getpid())))
with suite.bare():
    print(grade(1, path, only=["1.1"], isolation="L1").outcome)
"""


def a_grader(place: suite.Yard, harm: str) -> subprocess.Popen[str]:
    """A grader of its own at bare L1, where nothing keeps the part from sending it that signal."""
    place.set_up()
    place.submission.write_text(suite.whole(HARMING).replace("@SIGNAL@", harm))
    command = [sys.executable, "-c", GRADER, str(place.submission)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def test_a_part_that_kills_the_grader_ends_with_it_and_the_next_run_is_as_before(
    place: suite.Yard,
) -> None:
    """The grader is gone, and so is the part; nobody has a verdict."""
    grader = a_grader(place, "SIGKILL")
    said, _ = grader.communicate(timeout=300)
    assert (grader.returncode, said) == (-9, "")
    for pid in set(suite.process_tree.descendants(os.getpid())) - place.company:
        # gone already, or reaped by its own supervisor
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            watch = os.pidfd_open(pid)
            assert select.select([watch], [], [], 120)[0], "something outlives the grader"
            os.close(watch)
            os.waitpid(pid, 0)
    assert suite.right_passes(suite.BARE, place)


def test_a_part_that_stops_the_grader_changes_no_verdict(place: suite.Yard) -> None:
    grader = a_grader(place, "SIGSTOP")
    _, status = os.waitpid(grader.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    grader.send_signal(signal.SIGCONT)
    while os.WIFSTOPPED(os.waitpid(grader.pid, os.WUNTRACED)[1]):
        grader.send_signal(signal.SIGCONT)  # once for each worker that loads the part
    assert grader.stdout is not None
    assert grader.stdout.read() == "pass\n"
    assert place.damage() == []


def test_what_many_workers_print_is_capped_together(place: suite.Yard) -> None:
    place.set_up()
    dying = 'import os\nfrom right import Right\n\nprint("x" * 100_000)\n\n\nclass BlockManager(Right):\n'
    place.submission.write_text(
        suite.whole(dying + "    def admit(self, *_):\n        os._exit(0)\n")
    )
    (law,) = grade(1, place.submission, seed=suite.SEED, only=["1.1"]).laws
    assert law.outcome is Outcome.CRASH
    assert 4096 < len(law.output) < 10_000
    assert "more characters, printed again and again" in law.output


@pytest.mark.parametrize("seconds", [pytest.param(0.3, marks=pytest.mark.slow), 0.03])
def test_a_part_that_sleeps_a_little_in_each_call_does_not_sleep_for_hours(
    seconds: float, place: suite.Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within one trace, and over many that are each quick enough."""
    for name in ("SLEEPING", "UNTOLD"):  # the second where the kernel tells less
        monkeypatch.setattr(graders.sandbox.worker, name, 1.0)
    place.set_up()
    place.submission.write_text(suite.whole(SLEEPING.replace("@SECONDS@", str(seconds))))
    result = grade(1, place.submission, seed=suite.SEED, only=["1.1"])
    assert result.outcome is Outcome.TIMEOUT
    assert " sleeps: it kept the grader waiting for" in result.laws[0].message
