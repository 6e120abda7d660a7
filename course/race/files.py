"""The files that a race leaves behind: whether they can be written is known before it starts."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from course.errors import Problem
from course.progress import replace_file
from graders.engines.results import RaceResults

NO_MATPLOTLIB = "--png needs matplotlib: pip install 'inference-kitchen[plots]', or use --svg"


@dataclass(frozen=True, slots=True)
class RaceFiles:
    """Where to write what; None: not at all. stored: the race that the README tells of."""

    json: Path | None = None
    svg: Path | None = None
    png: Path | None = None
    stored: Path | None = None

    def check(self) -> None:
        """Raises Problem with everything that stands in the way of writing them."""
        asked = [path for path in (self.json, self.svg, self.png, self.stored) if path is not None]
        faults = [fault for path in asked if (fault := obstacle(path))]
        if len({os.path.abspath(path) for path in asked}) < len(asked):
            faults.append(
                "two of --json, --svg, --png and --store name one file; give each its own"
            )
        if self.png is not None and find_spec("matplotlib") is None:
            faults.append(NO_MATPLOTLIB)
        if faults:
            raise Problem(_sentences(faults))

    def write(self, race: RaceResults) -> None:
        """Write all that can be written. Raises Problem that names the others."""
        faults = list(self._write(race))
        if faults:
            raise Problem(_sentences(faults))

    def _write(self, race: RaceResults) -> Iterator[str]:
        drawn = _drawing(race)
        told: tuple[tuple[Path | None, Callable[[], str]], ...] = (
            (self.json, race.as_json),
            (self.stored, race.as_json),
            (self.svg, drawn.svg),
        )
        for path, text in told:
            if path is not None:
                try:
                    replace_file(path, text())
                except OSError as error:
                    yield f"{path} cannot be written: {error.strerror or error}"
        if self.png is not None:
            try:
                drawn.png(self.png)
            except ImportError:
                yield NO_MATPLOTLIB
            except OSError as error:
                yield f"{self.png} cannot be written: {error.strerror or error}"


@dataclass(frozen=True, slots=True)
class _Drawing:
    svg: Callable[[], str]
    png: Callable[[Path], None]


def _drawing(race: RaceResults) -> _Drawing:
    """Of a workload who served how much; of requests alone what a token costs."""
    if race.of("whole") or not race.results:
        from course.race import race_plot

        return _Drawing(partial(race_plot.svg, race), partial(race_plot.png, race))
    from course.drawings import panels
    from course.race.costs import figure

    return _Drawing(
        lambda: panels.svg(figure([race])), lambda path: panels.png(figure([race]), path)
    )


def obstacle(path: Path) -> str:
    """Why no file can be written there, in a clause that says what to do; "" when one can. One
    beside it is tried."""
    if os.path.isdir(path):
        return f"{path} cannot be written: it is a folder; name a file in it"
    if os.path.exists(path) and not os.path.isfile(path):
        return f"{path} cannot be written: it is no ordinary file; name one"
    if not os.path.isdir(path.parent):
        return f"{path} cannot be written: there is no folder {path.parent}; make it first"
    attempt = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with attempt.open("wb"):
            pass
        if os.path.exists(path) and not os.access(path, os.W_OK):
            return f"{path} cannot be written: it is write-protected"
    except OSError as error:
        return f"{path} cannot be written: {error.strerror or error}"
    finally:
        with suppress(OSError):
            os.unlink(attempt)
    return ""


def _sentences(faults: list[str]) -> str:
    return "\n".join(f"{fault}." for fault in faults)
