"""Baseline cards: how fast another engine was beside our reference engine, on a class of machine,
for another day.

A card holds pairs of runs: the same fresh traces served by the engine and by the reference engine
in turn. What it is good for is one number, how many times as long the engine took; together with
the ratio to the reference engine that is measured today it places a submission beside an engine
that is not installed. A card is refused when its text was edited, on other hardware, and when the
workload that it was recorded on is no longer drawn the same way.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import statistics
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from graders.engines.loaded import Loaded, NoModel, of_model
from graders.throughput import card_fields
from graders.throughput.bounds import Measure
from graders.throughput.engine_digest import engine_digest
from graders.throughput.hardware import Hardware
from graders.workloads import workload

FORMAT = 1
SHIPPED = Path(__file__).with_name("cards")
VARIABLE = "COURSE_BASELINES"
FOLDER = "baselines"  # in the workspace's .course
FEWEST = 3  # pairs that a recording makes
AGAIN = "Record it again."
TEXTS = ("engine", "version", "note", "model", "workload", "reference", "date")
PROOF = ("weights", "parameters", "dtype")
"""What older cards lack, which therefore do not count."""


class BadCard(Exception):
    """A card that does not count: a sentence that names the file and says why, and maybe one that
    says what to do.

    why: as a phrase, "was edited after it was recorded".
    """

    def __init__(self, path: Path, why: str, advice: str = "") -> None:
        super().__init__(f"{path} {why}.{f' {advice}' if advice else ''}")
        self.path, self.why = path, why

    @property
    def brief(self) -> str:
        """Without advice, and without the folders above the card's."""
        return f"{self._name} {self.why}"

    @property
    def aside(self) -> str:
        """What to say of it beside a card that counts."""
        return f"{self._name} does not count: it {self.why}"

    @property
    def _name(self) -> str:
        return f"…/{self.path.parent.name}/{self.path.name}"


class Foreign(BadCard):
    """A card that counts on machines of another class."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One trace, by its seed and hash, and the seconds that engine and reference engine took for
    it."""

    seed: int
    trace: str
    engine_seconds: float
    reference_seconds: float

    @property
    def slowness(self) -> float:
        return self.engine_seconds / self.reference_seconds


@dataclass(frozen=True, slots=True)
class BaselineCard:
    """One engine on one workload on one class of machine.

    version, flags, note: the engine's. reference: the digest of our engine's source. verified:
    whether every token was what the model says (an engine in a narrower dtype may say others).
    weights, parameters, dtype: what both engines proved to have loaded
    (`graders.engines.loaded.Loaded`); empty in a card that does not say.
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
    weights: str = ""
    parameters: int = 0
    dtype: str = ""

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
    def work(self) -> tuple[str, str, float, str]:
        """What is timed of whom."""
        return self.engine, self.workload, self.scale, self.model

    @property
    def file_name(self) -> str:
        """The same for cards that replace each other."""
        machine = hashlib.sha256(json.dumps(self.hardware.to_json()).encode()).hexdigest()[:8]
        return f"{_stem(*self.work)}-{machine}.json"

    @property
    def label(self) -> str:
        """ "vllm 0.32.0 (card of 2026-11-23)"."""
        return f"{self.engine} {self.version}".strip() + f" (card of {self.date})"

    def stale(self) -> str:
        """Why its ratio to the reference engine may be another today; empty when nothing speaks for
        that."""
        return (
            ""
            if self.reference == engine_digest()
            else "recorded beside another version of the reference engine"
        )


def save(card: BaselineCard, folder: Path) -> Path:
    """Write the card in place of those of machines that are the same class; where it lies."""
    folder.mkdir(parents=True, exist_ok=True)
    path, data = folder / card.file_name, _plain(card)
    path.write_text(
        json.dumps({**data, "checksum": _checksum(data)}, indent=1) + "\n", encoding="utf-8"
    )
    for other in _replaced_by(card, folder):
        if other != path:
            other.unlink()
    return path


def _replaced_by(card: BaselineCard, folder: Path) -> list[Path]:
    """Cards of the same work on the same class of machine, itself too: one that tells less of it
    has another name."""
    found = list[Path]()
    for path in (each for each in files((folder,)) if each.name.startswith(_stem(*card.work))):
        with suppress(BadCard):
            other = load(path)
            if other.work == card.work and not card.hardware.difference(other.hardware):
                found.append(path)
    return found


def load(path: Path) -> BaselineCard:
    """The card in a file, whatever its hardware. Raises BadCard for one that is broken or was
    edited."""
    return _signed(path, _data(path))


def verify(path: Path, hardware: Hardware) -> BaselineCard:
    """The card in a file, if it counts on this machine and today. Raises BadCard."""
    card = load(path)
    _count(card, path, hardware)
    return card


def _data(path: Path) -> dict[str, Any]:
    """What the file says, whether it is right or not. Raises BadCard."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadCard(path, f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise BadCard(path, "is no UTF-8 text") from None
    except json.JSONDecodeError as error:
        raise BadCard(path, f"is not JSON: {error}") from None
    except (ValueError, RecursionError):
        raise BadCard(
            path, "is no baseline card: a value in it is too long or nested too deeply"
        ) from None
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise BadCard(path, f"is no baseline card of format {FORMAT}")
    return data


def _signed(path: Path, data: Mapping[str, Any]) -> BaselineCard:
    """The card that the file says, if nobody has edited it. Raises BadCard."""
    told = {name: value for name, value in data.items() if name != "checksum"}
    if "checksum" not in data:
        raise BadCard(path, "has no checksum", AGAIN)
    try:
        if data["checksum"] != _checksum(told):
            raise BadCard(
                path, "was edited after it was recorded: its checksum is another one", AGAIN
            )
        return _card(told)
    except card_fields.BadField as bad:
        raise BadCard(path, f"is no baseline card: {bad}") from None
    except RecursionError:
        raise BadCard(path, "is no baseline card: a value in it is nested too deeply") from None


def _count(card: BaselineCard, path: Path, hardware: Hardware) -> None:
    """BadCard unless it counts on this machine and today."""
    difference = hardware.difference(card.hardware)
    if difference:
        raise Foreign(path, f"is from other hardware: {difference}", "Record one here.")
    if not card.verified:
        raise BadCard(path, "was recorded without a look at the tokens", AGAIN)
    if not (card.weights and card.parameters and card.dtype):
        raise BadCard(path, "does not say which weights the engine served", AGAIN)
    try:
        given = of_model(card.model)
        traces = [
            workload(card.workload, one.seed, model=card.model, scale=card.scale).hash
            for one in card.samples
        ]
    except (ValueError, KeyError, OSError, NoModel) as error:
        raise BadCard(path, f"was recorded on something that is not there today: {error}") from None
    if Loaded(card.weights, card.parameters, card.dtype) != given:
        raise BadCard(path, f"was recorded with other weights than {card.model} has today", AGAIN)
    if traces != [sample.trace for sample in card.samples]:
        raise BadCard(
            path, f"was recorded on other requests than {card.workload!r} draws today", AGAIN
        )


def folders(beside: Path | None = None) -> tuple[Path, ...]:
    """Where cards are looked for, the first that has one wins: what $COURSE_BASELINES names, the
    workspace, shipped."""
    named = os.environ.get(VARIABLE)
    own = (Path(named),) if named else ()
    return (*own, *((beside / ".course" / FOLDER,) if beside is not None else ()), SHIPPED)


def files(places: tuple[Path, ...]) -> Iterator[Path]:
    """Every card file in these folders, in order."""
    for place in places:
        yield from sorted(place.glob("*.json"))


def misnamed() -> str:
    """A phrase when $COURSE_BASELINES names something that is no folder; else empty."""
    named = os.environ.get(VARIABLE)
    return (
        f"${VARIABLE} names {named}, which is no folder"
        if named and not Path(named).is_dir()
        else ""
    )


def find(
    engine: str, measure: Measure, hardware: Hardware, places: tuple[Path, ...]
) -> tuple[BaselineCard | None, tuple[str, ...]]:
    """The card that counts for this engine and this measure, and a phrase for each that was looked
    at before and does not count; without a card, why there is none. Cards of other machines beside
    the one that counts are no news.
    """
    refused = list[BadCard]()
    for path in files(places):
        try:
            card = _wanted(path, engine, measure)
            if card is None:
                continue
            _count(card, path, hardware)
        except BadCard as bad:
            refused.append(bad)
            continue
        news = [
            bad
            for bad in refused
            if not (isinstance(bad, Foreign) and bad.path.parent == path.parent)
        ]
        return card, tuple(bad.aside for bad in news)
    reasons = [bad for bad in refused if not isinstance(bad, Foreign)] or refused[:1]
    return None, tuple(bad.brief for bad in reasons) or ("there is no card",)


def whose(card: BaselineCard, measure: Measure, places: tuple[Path, ...]) -> str:
    """ "FILE, not the course's own"; empty for a card that came with the course."""
    for path in files(places):
        with suppress(BadCard):
            if _wanted(path, card.engine, measure) == card:
                return f"{path}, not the course's own" if path.parent != SHIPPED else ""
    return ""


def _wanted(path: Path, engine: str, measure: Measure) -> BaselineCard | None:
    """The card in a file, if it is of this engine and this measure. Raises BadCard for one that
    seems to be.

    A file that says nothing, or what its name does not, seems to be what its name says.
    """
    wanted = (engine, measure.workload, measure.scale, measure.model)
    named = path.name.startswith(f"{_stem(*wanted)}-")
    try:
        data = _data(path)
    except BadCard:
        if named:
            raise
        return None
    if (
        not named
        and tuple(data.get(name) for name in ("engine", "workload", "scale", "model")) != wanted
    ):
        return None
    card = _signed(path, data)
    return card if card.work == wanted else None


def _stem(engine: str, workload: str, scale: float, model: str) -> str:
    """How the names of cards begin that may replace each other on one machine or another."""
    return f"{engine}-{workload}{'' if scale == 1 else f'@{scale:g}'}-{model.replace('/', '_')}"


def _plain(card: BaselineCard) -> dict[str, Any]:
    data = {"format": FORMAT, **asdict(card), "hardware": card.hardware.to_json()}
    plain: dict[str, Any] = json.loads(json.dumps(data))
    return plain


def _card(data: Mapping[str, Any]) -> BaselineCard:
    """Raises BadField for the first field that is not what it must be."""
    names = [field.name for field in dataclasses.fields(BaselineCard) if field.name not in PROOF]
    card_fields.table("", data, (*names, "format"), PROOF)
    said = {name: card_fields.text(name, data[name]) for name in TEXTS}
    card_fields.table("flags", data["flags"], (), data["flags"])
    samples = tuple(
        _sample(f"samples[{at}]", one)
        for at, one in enumerate(card_fields.rows("samples", data["samples"]))
    )
    return BaselineCard(
        **said,
        flags=data["flags"],
        scale=card_fields.number("scale", data["scale"]),
        samples=samples,
        hardware=Hardware.from_json(data["hardware"]),
        verified=card_fields.truth("verified", data["verified"]),
        weights=card_fields.text("weights", data.get("weights", "")),
        parameters=card_fields.whole("parameters", data.get("parameters", 0)),
        dtype=card_fields.text("dtype", data.get("dtype", "")),
    )


def _sample(name: str, value: object) -> Sample:
    data = card_fields.table(name, value, [field.name for field in dataclasses.fields(Sample)])
    return Sample(
        seed=card_fields.whole(f"{name}.seed", data["seed"]),
        trace=card_fields.text(f"{name}.trace", data["trace"]),
        engine_seconds=card_fields.number(f"{name}.engine_seconds", data["engine_seconds"]),
        reference_seconds=card_fields.number(
            f"{name}.reference_seconds", data["reference_seconds"]
        ),
    )


def _checksum(data: Mapping[str, Any]) -> str:
    text = json.dumps(data, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
