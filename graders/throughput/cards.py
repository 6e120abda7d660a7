"""Baseline cards: how fast another engine was beside our reference engine, on a class of machine, for another day.

A card holds pairs of runs: the same fresh traces served by the engine and by the reference engine in turn. What it is
good for is one number, how many times as long the engine took; together with the ratio to the reference engine that is
measured today it places a submission beside an engine that is not installed. A card is refused when its text was
edited, on other hardware, and when the workload that it was recorded on is no longer drawn the same way.
"""

from __future__ import annotations

import hashlib
import json
import os
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from graders.throughput.bounds import Measure
from graders.throughput.fingerprint import fingerprint
from graders.throughput.hardware import Hardware
from graders.throughput.workloads import workload

FORMAT = 1
SHIPPED = Path(__file__).with_name("baselines")
VARIABLE = "COURSE_BASELINES"
FOLDER = "baselines"  # in the workspace's .course


class BadCard(Exception):
    """A card that does not count: one sentence that names the file and says why."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One trace, by its seed and hash, and the seconds that engine and reference engine took for it."""

    seed: int
    trace: str
    engine_seconds: float
    reference_seconds: float

    @property
    def slowness(self) -> float:
        return self.engine_seconds / self.reference_seconds


@dataclass(frozen=True, slots=True)
class Card:
    """One engine on one workload on one class of machine.

    version, flags, note: the engine's. reference: the fingerprint of our engine's source. verified: whether every
    token was what the model says (an engine in a narrower dtype may say others).
    """

    engine: str
    version: str
    flags: Mapping[str, Any]
    note: str
    model: str
    workload: str
    scale: float
    samples: tuple[Sample, ...]
    hardware: Hardware
    reference: str
    verified: bool
    date: str

    @property
    def slowness(self) -> float:
        """How many times as long as the reference engine it took: the median of the samples."""
        return statistics.median(sample.slowness for sample in self.samples)

    @property
    def spread(self) -> tuple[float, float]:
        """The least and the most of it."""
        every = [sample.slowness for sample in self.samples]
        return min(every), max(every)

    @property
    def file_name(self) -> str:
        """The same for cards that replace each other."""
        machine = hashlib.sha256(json.dumps(self.hardware.to_json()).encode()).hexdigest()[:8]
        scale = "" if self.scale == 1 else f"@{self.scale:g}"
        return f"{self.engine}-{self.workload}{scale}-{self.model.replace('/', '_')}-{machine}.json"

    @property
    def label(self) -> str:
        """ "vllm 0.32.0 (card of 2026-11-23)"."""
        return f"{self.engine} {self.version}".strip() + f" (card of {self.date})"

    def stale(self) -> str:
        """Why its ratio to the reference engine may be another today; empty when nothing speaks for that."""
        return "" if self.reference == fingerprint() else "recorded beside another version of the reference engine"


def save(card: Card, folder: Path) -> Path:
    """Write the card; where it lies."""
    folder.mkdir(parents=True, exist_ok=True)
    path, data = folder / card.file_name, _plain(card)
    path.write_text(json.dumps({**data, "checksum": _checksum(data)}, indent=1) + "\n", encoding="utf-8")
    return path


def load(path: Path) -> Card:
    """The card in a file, whatever its hardware. Raises BadCard for one that is broken or was edited."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadCard(f"{path} cannot be read: {error.strerror}.") from None
    except ValueError as error:
        raise BadCard(f"{path} is not JSON: {error}.") from None
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise BadCard(f"{path} is no baseline card of format {FORMAT}.")
    if data.pop("checksum", None) != _checksum(data):
        raise BadCard(f"{path} was edited after it was recorded: its checksum is another one. Record it again.")
    try:
        return _card(data)
    except (KeyError, TypeError, ValueError) as error:
        raise BadCard(f"{path} lacks something that a card has: {error!r}.") from None


def verify(path: Path, hardware: Hardware) -> Card:
    """The card in a file, if it counts on this machine and today. Raises BadCard."""
    card = load(path)
    _count(card, path, hardware)
    return card


def _count(card: Card, path: Path, hardware: Hardware) -> None:
    """BadCard unless it counts on this machine and today."""
    difference = hardware.difference(card.hardware)
    if difference:
        raise BadCard(f"{path} is from other hardware: {difference}. Record one here.")
    if not card.verified:
        raise BadCard(f"{path} was recorded without a look at the tokens. Record it again.")
    try:
        traces = [workload(card.workload, one.seed, model=card.model, scale=card.scale).hash for one in card.samples]
    except (ValueError, KeyError, OSError) as error:
        raise BadCard(f"{path} was recorded on something that is not there today: {error}.") from None
    if traces != [sample.trace for sample in card.samples]:
        raise BadCard(f"{path} was recorded on other requests than {card.workload!r} draws today. Record it again.")


def folders(beside: Path | None = None) -> tuple[Path, ...]:
    """Where cards are looked for, the first that has one wins: what $COURSE_BASELINES names, the workspace, shipped."""
    named = os.environ.get(VARIABLE)
    own = (Path(named),) if named else ()
    return (*own, *((beside / ".course" / FOLDER,) if beside is not None else ()), SHIPPED)


def files(places: tuple[Path, ...]) -> Iterator[Path]:
    """Every card file in these folders, in order."""
    for place in places:
        yield from sorted(place.glob("*.json"))


def find(engine: str, measure: Measure, hardware: Hardware, places: tuple[Path, ...]) -> tuple[Card | None, str]:
    """The card that counts for this engine and this measure; else None and why there is none."""
    why, wanted = "there is no card", (engine, measure.workload, measure.scale, measure.model)
    for path in files(places):
        if not path.name.startswith(f"{engine}-{measure.workload}"):
            continue
        try:
            card = load(path)
            if (card.engine, card.workload, card.scale, card.model) != wanted:
                continue
            _count(card, path, hardware)
        except BadCard as bad:
            why = str(bad).rstrip(".")
            continue
        return card, ""
    return None, why


def _plain(card: Card) -> dict[str, Any]:
    data = {"format": FORMAT, **asdict(card), "hardware": card.hardware.to_json()}
    plain: dict[str, Any] = json.loads(json.dumps(data))
    return plain


def _card(data: Mapping[str, Any]) -> Card:
    fields = {name: value for name, value in data.items() if name != "format"}
    fields["samples"] = tuple(Sample(**sample) for sample in data["samples"])
    fields["hardware"] = Hardware.from_json(data["hardware"])
    card = Card(**fields)
    if not card.samples or not all(
        sample.engine_seconds > 0 and sample.reference_seconds > 0 for sample in card.samples
    ):
        raise ValueError("no samples above 0 seconds")
    return card


def _checksum(data: Mapping[str, Any]) -> str:
    text = json.dumps(data, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
