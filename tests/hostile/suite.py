"""The hostile suite: what each attack is, how it is run, and what must be as before when it is
over.

An attack is a file in `attacks/`; `honest/` holds parts that are broken and mean no harm, in the
same form. Its docstring says in one line what it does, then what must come of it from each level on
("L2: blocked, pass": the escape is blocked, and the part, being right, passes), words that the
report must hold ("says: …", where @LINE@ is the line of the whole file that ends in "# here"),
words that its printed output must hold ("prints: …"), the law that it is tried with ("law: 3 linear
work"), and whether it is one of the fast selection. The law says which exercise it is handed in
for, exercise 1 if there is none. `from right import …` stands for a right part to build on:
`right.py`, or the solution of the exercise.

What needs no worker lies in `outside/`: hand-ins, files and clients that are hostile. Each has a
function `attack(folder)` that yields a sentence for all that it got; nothing when it holds.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import itertools
import os
import re
import secrets
import shutil
import socket
import tempfile
import threading
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import graders.sandbox.worker
import reference_engine
import solutions
from graders.grading import grade
from graders.registry.catalogue import Exercise, catalogue, exercises
from graders.registry.parts import number_of
from graders.result import ExerciseResult
from graders.sandbox.isolation import Limits, Process, cleanup, spawn
from graders.sandbox.isolation.inside import process_tree

T = TypeVar("T")
HERE = Path(__file__).parent
LAW = "1.1"  # tried unless a file names another
SEED = 7
SUBREAPER = 36
BARE = "bare"
FUTURE = "from __future__ import annotations\n"
OPENING = re.compile(r"^from right import .*\n", re.MULTILINE)


@dataclass(frozen=True)
class Attack:
    """expected: level -> ("blocked" | "open" | "", outcomes); it holds for the levels above too, up
    to the next one."""

    name: str
    what: str
    text: str
    expected: dict[str, tuple[str, tuple[str, ...]]]
    says: str = ""
    prints: str = ""
    law: str = LAW
    fast: bool = False

    @property
    def exercise(self) -> Exercise:
        return catalogue(number_of(self.law.partition(".")[0]))

    def at(self, level: str) -> tuple[str, tuple[str, ...]]:
        """What must come of it at that level."""
        return self.expected[max(known for known in self.expected if known <= level)]


def attacks(folder: str = "attacks") -> list[Attack]:
    """All of them, by name. "honest": those that mean no harm."""
    return [_read(path) for path in sorted((HERE / folder).glob("*.py"))]


@dataclass(frozen=True)
class Outside:
    """A hostile hand-in, file or client."""

    name: str
    what: str
    path: Path

    def got(self, folder: Path) -> list[str]:
        """What it got. folder: an empty one."""
        spec = importlib.util.spec_from_file_location(f"outside_{self.name}", self.path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return list(module.attack(folder))


def outside() -> list[Outside]:
    """All of them, by name."""
    paths = sorted((HERE / "outside").glob("*.py"))
    return [
        Outside(
            path.stem, path.read_text(encoding="utf-8").split('"""')[1].partition("\n")[0], path
        )
        for path in paths
    ]


def within(seconds: float, call: Callable[[], T]) -> T | None:
    """What the call came to; None when it is not over after so many seconds."""
    found: list[T] = []
    trying = threading.Thread(target=lambda: found.append(call()), daemon=True)
    trying.start()
    trying.join(seconds)
    return found[0] if found else None


def _read(path: Path) -> Attack:
    text = path.read_text(encoding="utf-8")
    what, _, rest = text.split('"""')[1].partition("\n")
    lines = dict(re.findall(r"^(L\d|says|prints|law): (.*)$", rest, re.MULTILINE))
    expected = {
        level: _expectation(words) for level, words in lines.items() if level.startswith("L")
    }
    fast = bool(re.search(r"^fast$", rest, re.MULTILINE))
    others = {name: words for name, words in lines.items() if name not in expected}
    if "law" in others:
        others["law"] = _number(others["law"])
    return Attack(path.stem, what, text, expected, fast=fast, **others)


def _number(law: str) -> str:
    """The number of a law, given by number or, safer against renumbering, as "3 linear work"."""
    numbers = {
        f"{entry.number} {law.name}": law.number for entry in exercises() for law in entry.laws
    }
    return numbers.get(law, law)


def _expectation(words: str) -> tuple[str, tuple[str, ...]]:
    escape, _, outcomes = words.rpartition(", ")
    return escape, tuple(outcomes.split(" or "))


def whole(text: str, places: dict[str, str] | None = None, exercise: Exercise | None = None) -> str:
    """The one file that is handed in: the right part in place of its import, places for @NAMES@."""
    right = (HERE / "right.py").read_text(encoding="utf-8")
    if exercise is not None and exercise.number != 1:
        solution = Path(solutions.__path__[0], exercise.slug, exercise.file_name).read_text(
            encoding="utf-8"
        )
        right = solution.replace(FUTURE, "") + _helper(right)
        text = FUTURE + text
    text = OPENING.sub("", OPENING.sub(lambda _: right, text, count=1))
    for name, value in (places or {}).items():
        text = text.replace(f"@{name}@", value)
    return text


def _helper(right: str) -> str:
    """`tried` of `right.py`, for parts that are built on something else."""
    return "\n\n" + right[right.index("def tried") : right.index("class Right")]


KEPT = {  # what a grader keeps, by the name that an attack knows it by
    "NEIGHBOUR": "neighbour.py",
    "RESULTS": "results.jsonl",
    "JOURNAL": "journal.jsonl",
    "GRADEBOOK": "gradebook.db",
    "ANSWERS": "answers.py",
}


@dataclass
class Yard:
    """Where a run takes place: what the attack reaches for, and what must not have changed when it
    is over.

    In its folder: the submission, what a grader keeps (`KEPT`), a folder for temporary files
    (`tmp`).
    """

    folder: Path
    port: int = 0
    worker: int = 0  # somebody else's, and those that belong to it
    company: frozenset[int] = frozenset()
    abstract: str = field(default_factory=lambda: f"yard-{secrets.token_hex(6)}")
    shared: Path = field(default_factory=lambda: Path(f"/dev/shm/yard-{secrets.token_hex(6)}"))

    @property
    def submission(self) -> Path:
        return self.folder / "block_manager.py"

    def hand_in(self, exercise: Exercise, text: str) -> Path:
        """The submission for an exercise, written."""
        path = self.folder / exercise.file_name
        path.write_text(text, encoding="utf-8")
        return path

    @property
    def tmp(self) -> Path:
        return self.folder / "tmp"

    def places(self) -> dict[str, str]:
        return {
            **{name: str(self.folder / file) for name, file in KEPT.items()},
            "TESTS": str(HERE.parent),
            "GRADERS": graders.__path__[0],
            "SOLUTIONS": solutions.__path__[0],
            "ENGINE": reference_engine.__path__[0],
            "TMP": str(self.tmp),
            "SHARED": str(self.shared),
            "GRADER": str(os.getpid()),
            "UID": str(os.geteuid()),
            "WORKER": str(self.worker),
            "PORT": str(self.port),
            "ABSTRACT": self.abstract,
        }

    def set_up(self) -> None:
        for name, file in KEPT.items():
            (self.folder / file).write_text(name)
            (self.folder / file).chmod(0o644)
        shutil.rmtree(self.tmp, ignore_errors=True)
        self.tmp.mkdir()

    def damage(self) -> list[str]:
        """What is not as it was before."""
        found = [f"{file} changed" for name, file in KEPT.items() if not self._intact(name, file)]
        found += [
            f"left {path.name}" for path in self.tmp.iterdir() if "hypothesis" not in path.name
        ]
        living = set(process_tree.descendants(os.getpid())) - self.company
        found += [f"process {pid} lives" for pid in sorted(living) if not _is_zombie(pid)]
        found += [f"left {self.shared}"] * self.shared.exists()
        self.shared.unlink(missing_ok=True)
        return found

    def _intact(self, name: str, file: str) -> bool:
        path = self.folder / file
        return path.exists() and path.read_text() == name and path.stat().st_mode & 0o777 == 0o644


@contextlib.contextmanager
def _servers() -> Iterator[int]:
    """A port with a server for streams and one for datagrams; somebody else may have half of the
    first one drawn."""
    for tries in itertools.count():
        with (
            socket.create_server(("127.0.0.1", 0), backlog=64) as tcp,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
        ):
            port: int = tcp.getsockname()[1]
            try:
                udp.bind(("127.0.0.1", port))
            except OSError:
                if tries > 20:
                    raise
                continue
            yield port
            return


@contextlib.contextmanager
def yard() -> Iterator[Yard]:
    """A yard with servers to connect to. Processes that an attack detaches become children of this
    one: seen."""
    ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)
    before = tempfile.tempdir
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="yard-")))
        place = Yard(folder)
        place.port = stack.enter_context(_servers())
        unix = stack.enter_context(socket.socket(socket.AF_UNIX))
        unix.bind(f"\0{place.abstract}")
        unix.listen(64)
        place.set_up()
        folder.chmod(0o755)
        others = set(process_tree.descendants(os.getpid()))
        neighbour = spawn("L1", without=["seccomp", "uid"])
        stack.callback(neighbour.end)
        place.worker = neighbour.worker
        place.company = frozenset(others | set(process_tree.descendants(os.getpid())))
        tempfile.tempdir = str(place.tmp)
        try:
            yield place
        finally:
            tempfile.tempdir = before


@dataclass(frozen=True)
class Got:
    """What came of an attack. escape: "blocked", "open" or "". damage: what was not as before when
    it was over."""

    level: str
    escape: str
    outcome: str
    says: str
    printed: str
    damage: tuple[str, ...]

    def __str__(self) -> str:
        return ", ".join(filter(None, (self.escape, self.outcome, *self.damage)))


@contextlib.contextmanager
def lacking(*locks: str) -> Iterator[None]:
    """Workers are started as on a machine without these locks."""

    def spawn_lacking(
        level: str, limits: Limits | None = None, *, without: Collection[str] = ()
    ) -> Process:
        return spawn(level, limits, without={*without, *locks})

    before = graders.sandbox.worker.spawn
    graders.sandbox.worker.spawn = spawn_lacking
    try:
        yield
    finally:
        graders.sandbox.worker.spawn = before


def bare() -> contextlib.AbstractContextManager[None]:
    """L1 and nothing beside it, as on a machine without seccomp: what the tree's end and the limits
    alone are worth."""
    return lacking("seccomp", "uid")


def run(attack: Attack, level: str, place: Yard) -> Got:
    """Grade it at that level ("bare": the least there is), then look around."""
    if level == BARE:
        with bare():
            return run(attack, "L1", place)
    place.set_up()
    path = place.hand_in(attack.exercise, whole(attack.text, place.places(), attack.exercise))
    result = grade(attack.exercise.number, path, seed=SEED, only=[attack.law], isolation=level)
    printed = "".join(law.output for law in result.laws)
    escape = (
        "open" if "escape: open" in printed else "blocked" if "escape: blocked" in printed else ""
    )
    return Got(
        result.isolation,
        escape,
        result.outcome.value,
        _said(result),
        printed,
        tuple(place.damage()),
    )


def right_passes(level: str, place: Yard) -> bool:
    """The next run: a right part gets what it deserves."""
    if level == BARE:
        with bare():
            return right_passes("L1", place)
    place.set_up()
    text = "from right import Right\n\n\nclass BlockManager(Right):\n    pass\n"
    place.submission.write_text(whole(text), encoding="utf-8")
    return grade(1, place.submission, seed=SEED, only=[LAW], isolation=level).passed


def wrong(attack: Attack, got: Got) -> list[str]:
    """How `got` differs from what must come of the attack; nothing when it holds."""
    escape, outcomes = attack.at(got.level if got.level != "none" else "L1")
    if escape != "blocked" and (got.escape, got.outcome, got.damage) == ("blocked", "pass", ()):
        # better than this level promises: a worker of a root grader has another uid where it can
        return []
    found = [f"the escape is {got.escape or 'not tried'}, not {escape}"] * bool(
        escape and escape != got.escape
    )
    found += [f"{got.outcome} instead of {' or '.join(outcomes)}"] * (got.outcome not in outcomes)
    says = attack.says.replace("@LINE@", str(_here(attack)))
    found += [f"the report does not say {says!r}: {got.says!r}"] * (says not in got.says)
    found += [f"the output does not hold {attack.prints!r}"] * (attack.prints not in got.printed)
    allowed = (
        escape == "open"
    )  # what a level does not protect may be damaged, and the table says so
    return found + [item for item in got.damage if not allowed or item.startswith("process")]


def _here(attack: Attack) -> int:
    """The line of the file as handed in that ends in "# here"; 0 if none does."""
    lines = whole(attack.text, exercise=attack.exercise).splitlines()
    return next(
        (number for number, line in enumerate(lines, start=1) if line.endswith("# here")), 0
    )


def _said(result: ExerciseResult) -> str:
    return " ".join([result.problem, *(law.message for law in result.laws)])


def _is_zombie(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] == b"Z"
    return True


__all__ = [
    *(
        "Attack",
        "Got",
        "Outside",
        "Yard",
        "attacks",
        "leftovers",
        "outside",
        "right_passes",
        "run",
        "whole",
    ),
    *("within", "wrong", "yard"),
]
