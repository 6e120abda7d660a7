"""Which machine this is, as far as the ratio of two engines' speeds depends on it. Imports no
torch."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from graders.throughput import card_fields
from reference_engine.native import library
from reference_engine.processor import USUAL, features, model_name

COMPILED = "compiled"
"""The feature of a machine on which our engine runs its compiled code: elsewhere it is several times slower."""
LATER = ("avx512_vnni",)
"""Features that records of a machine did not tell of at first: one without them need not lack them."""


@dataclass(frozen=True, slots=True)
class Hardware:
    """A class of machine. device: "cpu" or "cuda". model: of the processor, or of the GPU. cores:
    that may be used. examined: those of LATER that were looked for.
    """

    device: str
    model: str
    cores: int
    features: tuple[str, ...] = ()
    examined: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        told = {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
        }
        return {name: value for name, value in told.items() if name != "examined" or value}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Hardware:
        """Raises BadField for data that is none."""
        card_fields.table("hardware", data, ("device", "model", "cores", "features"), ("examined",))
        return cls(
            device=card_fields.text("hardware.device", data["device"]),
            model=card_fields.text("hardware.model", data["model"]),
            cores=card_fields.whole("hardware.cores", data["cores"]),
            features=_texts("hardware.features", data["features"]),
            examined=_texts("hardware.examined", data.get("examined", [])),
        )

    def __str__(self) -> str:
        extras = ", ".join(feature for feature in self.features if feature != USUAL)
        return f"{self.model}, {self.cores} cores{f', {extras}' if extras else ''}"

    def difference(self, other: Hardware) -> str:
        """What makes a figure of `other` worthless here, in words; empty when it is the same class
        of machine."""
        for name in ("device", "model", "cores"):
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine != theirs:
                return f"its {name} {'are' if name == 'cores' else 'is'} {theirs}, here {mine}"
        unknown = set(LATER) - (set(self.examined) & set(other.examined))
        own, others = (
            tuple(one for one in each.features if one not in unknown) for each in (self, other)
        )
        return f"its features are {_shown(others)}, here {_shown(own)}" if own != others else ""


def here() -> Hardware:
    """This machine's processor; GPUs are no part of it."""
    model = model_name() or platform.processor() or platform.machine()
    compiled = (COMPILED,) if library.library() else ()
    return Hardware("cpu", model, usable_cores(), (*features(), *compiled), LATER)


def usable_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def load_per_core() -> float:
    """How many programs wanted a core, per core, over the last minute; 0 where nobody counts."""
    try:
        return round(os.getloadavg()[0] / (os.cpu_count() or 1), 2)
    except (AttributeError, OSError):
        return 0.0


def _texts(name: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise card_fields.wrong(name, value, "a list of texts")
    return tuple(card_fields.text(name, each) for each in value)


def _shown(features: tuple[str, ...]) -> str:
    return ", ".join(features) or "none"
