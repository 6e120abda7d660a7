"""What is to be graded: who, which exercise, which file, and the key that names it for good."""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

import graders
import reference_engine
import solutions
from graders.registry.parts import Number, place
from graders.sandbox.isolation.levels import FOR_MARKS
from graders.submissions.submission_reader import canonical

UNKNOWN = 0  # the exercise of a submission in which no exercise's file was found
# what decides a verdict: laws, specifications, bounds, the engine
CODE = (".py", ".json", ".toml", ".cpp", ".h")


def version(bounds: str = "") -> str:
    """The package's version and a digest of all that decides a verdict, bounds included:
    "0.1.0+5f2c01aa".

    bounds: the path of an instructor's own bounds. OSError when it cannot be read.
    """
    digest = hashlib.sha256(Path(bounds).read_bytes() if bounds else b"")
    for home in (Path(package.__path__[0]) for package in (graders, reference_engine, solutions)):
        for path in sorted(home.rglob("*")):
            inside = path.relative_to(home)
            if (
                path.suffix in CODE
                and inside.parts[0] not in ("batch", "reports")
                and path.is_file()
            ):
                digest.update(f"{inside}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    try:
        release = metadata.version("inference-kitchen")
    except metadata.PackageNotFoundError:
        release = "0"
    return f"{release}+{digest.hexdigest()[:8]}"


@dataclass(frozen=True, slots=True)
class Options:
    """How every job of a batch is judged; part of each key.

    laws_only: the timed laws are left out. require: a result reached at a lower level of isolation
    is advisory. only: numbers of the laws that are judged, all when there are none. bounds: the
    path of an instructor's own bounds, empty for the course's. grader: the version of whoever
    judges.
    """

    laws_only: bool = False
    require: str = FOR_MARKS
    bounds: str = ""
    grader: str = ""
    only: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.grader:
            object.__setattr__(self, "grader", version(self.bounds))


@dataclass(frozen=True, slots=True)
class GradeJob:
    """One student's part for one exercise.

    source: the path of what was handed in. name: what the part's file is called in messages.
    problem: why nothing of it can be graded, or empty; blame: its `Outcome`. notices: what was not
    judged. notebook, answers: what a person reads of it: the file or archive, and the name in the
    archive; empty for none. Equal files have equal keys: they are graded once.
    """

    student: str
    exercise: Number
    source: str
    name: str
    key: str
    problem: str = ""
    blame: str = ""
    notices: tuple[str, ...] = ()
    notebook: tuple[str, str] = ("", "")
    answers: tuple[str, str] = ("", "")

    @property
    def who(self) -> tuple[str, Number]:
        """Student and exercise."""
        return self.student, self.exercise

    @property
    def order(self) -> tuple[str, tuple[int, str]]:
        return self.student, place(self.exercise)


def key_of(exercise: Number, name: str, data: bytes, options: Options) -> str:
    """sha256 of the canonical file, the exercise, the version of the grader and its bounds, and the
    options."""
    part = hashlib.sha256(canonical(data)).hexdigest()
    # what they say counts, not where they lie
    words = [exercise, name, part, asdict(options) | {"bounds": ""}]
    return hashlib.sha256(json.dumps(words, sort_keys=True).encode()).hexdigest()


def seed_of(key: str, salt: int) -> int:
    """The seed of a job: the same whenever, wherever and by whomever it is graded, unlike that of
    any other.

    64 bits under the salt as a secret key: who knows seeds of texts learns neither the salt nor
    another text's seed.
    """
    return int.from_bytes(hmac.digest(str(salt).encode(), key.encode(), "sha256")[:8], "big")
