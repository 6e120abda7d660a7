"""`course baseline`: recording with stand-in drivers, showing, and verifying; every refusal is one
sentence."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest
from conftest import Type
from test_baselines import card, signed

from graders.engines.driver import EngineReport
from graders.engines.engine_protocol import EngineFailed, EngineFailure, ServedTrace
from graders.engines.loaded import Loaded, of_model
from graders.throughput import recording
from graders.throughput.baselines import load, save, verify
from graders.throughput.hardware import here
from graders.throughput.recording import NotRecorded, RecordingRequest, record
from graders.workloads import Trace

ORDER = RecordingRequest("vllm", "ragged", 0.05, 3, seed=1)


class Stand:
    """A driver that serves in so many seconds; `log` holds what it was told."""

    def __init__(self, name: str, seconds: float, log: list[str], loaded: Loaded) -> None:
        self.name, self.seconds, self.log, self.loaded = name, seconds, log, loaded
        self.failure: EngineFailed | None = None

    def start(self) -> EngineReport:
        return EngineReport("1.2.3", {"dtype": "float32"}, 0.1, self.loaded)

    def serve(self, trace: Trace) -> ServedTrace:
        self.log.append(self.name)
        if self.failure is not None:
            raise self.failure
        outputs = tuple((5,) * each.max_new for each in trace.requests)
        return ServedTrace(self.seconds, outputs, (), ())

    def flush(self) -> None:
        self.log.append(f"{self.name} flushed")

    def pause(self) -> None:
        self.log.append(f"{self.name} stands still")

    def resume(self) -> None:
        self.log.append(f"{self.name} goes on")

    def stop(self) -> None:
        self.log.append(f"{self.name} stopped")


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr(recording, "check_tokens", lambda *_: None)
    return []


def make(log: list[str], failure: EngineFailed | None = None) -> Any:
    def made(kind: Any, job: Any) -> Stand:
        stand = Stand(kind.name, {"reference": 1.0}.get(kind.name, 2.5), log, job.loaded)
        stand.failure = failure if kind.name != "reference" else None
        return stand

    return made


def test_a_card_holds_pairs_of_turns_on_the_same_fresh_traces(
    log: list[str], tmp_path: Path
) -> None:
    made = record(ORDER, make=make(log))
    assert Loaded(made.weights, made.parameters, made.dtype) == of_model("waiter")
    assert made.slowness == 2.5 and made.version == "1.2.3" and made.verified
    assert len({each.trace for each in made.samples}) == 3
    served = [line for line in log if line in ("vllm", "reference")][4:]
    assert served == ["vllm", "reference", "reference", "vllm", "vllm", "reference"]
    assert verify(save(made, tmp_path), here()) == made


def test_one_engine_at_a_time_uses_the_machine_and_none_is_left_behind(log: list[str]) -> None:
    record(ORDER, make=make(log))
    awake: set[str] = set()
    for line in log:
        name, _, what = line.partition(" ")
        awake |= {name} if what == "goes on" else set()
        awake -= {name} if what == "stands still" else set()
        assert (not what and awake == {name}) or what
    assert {"vllm stopped", "reference stopped"} <= set(log)


def test_an_engine_that_fails_leaves_no_card_but_a_reason(log: list[str]) -> None:
    failure = EngineFailed(EngineFailure.HUNG, "vllm hung: it had not answered")
    with pytest.raises(NotRecorded, match="vllm hung: it had not answered"):
        record(ORDER, make=make(log, failure))
    assert "vllm stopped" in log


def test_an_engine_that_nobody_knows_or_that_is_not_installed_is_named(course: Type) -> None:
    for more in (
        (),
        ("--workload", "ragged"),
        ("--scale", "inf"),
        ("--workload", "ragged", "--model", "nope"),
    ):
        typed = course("baseline", "record", "abacus", *more)
        assert (typed.code, typed.out) == (2, "")
        assert "no engine called 'abacus'; there are reference, naive, vllm" in typed.err
    typed = course("baseline", "record", "tensorrt-llm", "--workload", "ragged")
    assert typed.code == 3 and typed.err.count("\n") == 1


def test_without_a_workload_the_bounds_say_which(course: Type) -> None:
    typed = course("baseline", "record", "sglang")
    assert typed.code == 2 and "no bound is set against sglang" in typed.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--model", "nope"), "no model is called 'nope': use waiter"),
        (("--model", "waiter@nope"), "the waiter has no shape called 'nope'"),
        (("--scale", "inf"), "a scale of inf is no share"),
        (("--scale", "nan"), "a scale of nan is no share"),
        (("--scale", "0"), "a scale of 0 is no share"),
        (("--scale", "1e9"), "more than 100,000 requests"),
        (("--pairs", "2"), "3<=x<=99"),
    ],
)
def test_what_cannot_be_recorded_is_refused_before_anything_is_measured(
    course: Type,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    options: tuple[str, ...],
    said: str,
) -> None:
    monkeypatch.setattr(recording, "record", never)
    cards = tmp_path / "cards"
    typed = course(
        "baseline", "record", "vllm", "--workload", "ragged", "--out", str(cards), *options
    )
    assert (typed.code, typed.out) == (2, "") and said in typed.err
    assert "stumbled" not in typed.err and not cards.exists()


def never(*_: object, **__: object) -> NoReturn:
    raise AssertionError("it was measured")


def test_a_folder_that_cannot_be_written_to_is_refused_before_anything_is_measured(
    course: Type, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(recording, "record", never)
    (tmp_path / "file").write_text("")
    for out in ("file", "file/deeper"):
        typed = course(
            "baseline", "record", "vllm", "--workload", "ragged", "--out", str(tmp_path / out)
        )
        assert (typed.code, typed.out) == (2, "") and str(tmp_path / out) in typed.err
    monkeypatch.setenv("COURSE_BASELINES", str(tmp_path / "file"))
    typed = course("baseline", "record", "vllm", "--workload", "ragged")
    assert (
        typed.code == 2
        and "file cannot be written to: File exists. Name another folder with --out." in typed.err
    )


def test_a_model_that_cannot_be_loaded_is_the_users_mistake(
    course: Type, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sizes = {"vocab_size": 100, "max_position_embeddings": 2048}
    (tmp_path / "config.json").write_text(json.dumps(sizes))
    ready = SimpleNamespace(ready=True)
    monkeypatch.setattr(recording.environments, "standing", lambda kind: ready)
    typed = course("baseline", "record", "vllm", "--workload", "ragged", "--model", str(tmp_path))
    assert typed.code == 2 and "config.json" in typed.err and "stumbled" not in typed.err


@pytest.mark.parametrize("busy", [True, False])
def test_a_busy_machine_is_mentioned_before_and_with_the_card(
    course: Type, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, busy: bool
) -> None:
    cores = os.cpu_count() or 1
    monkeypatch.setattr(os, "getloadavg", lambda: ((0.75 if busy else 0.25) * cores, 0.0, 0.0))
    monkeypatch.setattr(
        recording, "record", lambda order, say: card(hardware=here(), samples=card().samples[:1])
    )
    out = course("baseline", "record", "vllm", "--workload", "ragged", "--out", str(tmp_path)).out
    assert ("This machine is busy, load 0.75 a core at the start: stop" in out) is busy
    assert ("1 pair, 2026-11-23)" + "; load 0.75 a core at the start" * busy + "\n") in out


def test_too_few_pairs_make_no_card(log: list[str]) -> None:
    with pytest.raises(NotRecorded, match="a card needs 3 pairs at least"):
        record(replace(ORDER, pairs=2), make=make(log))


def test_record_says_what_it_measured_and_where_the_card_lies(
    course: Type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        recording, "record", lambda order, say: card(workload=order.workload, hardware=here())
    )
    typed = course(
        "baseline", "record", "vllm", "--workload", "ragged", "--out", str(tmp_path / "cards")
    )
    assert typed.code == 0 and "4.00 times as long as the reference engine" in typed.out
    (path,) = (tmp_path / "cards").iterdir()
    assert str(path) in typed.out and load(path).engine == "vllm"
    assert "the machine was busy" in typed.out, "its pairs are 3, 4 and 5 times as long"


def test_show_tells_everything(course: Type, tmp_path: Path) -> None:
    path = save(card(), tmp_path)
    shown = course("baseline", "show", str(path)).out
    told = f"{of_model('waiter').parameters:,} parameters in float32"
    for said in (
        "vllm 0.32.0",
        told,
        "its CPU build",
        "dtype=float32",
        "4.00 times",
        "Some CPU, 2 cores",
        "2026-11-23",
    ):
        assert said in shown
    assert card().samples[0].trace in shown


def test_verify_names_each_card_that_does_not_count_and_why(
    course: Type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, foreign = save(card(hardware=here()), tmp_path), save(card(), tmp_path)
    assert course("baseline", "verify", str(good)).code == 0
    typed = course("baseline", "verify", str(good), str(foreign))
    assert typed.code == 1 and "from other hardware" in typed.out
    good.write_text(good.read_text().replace("0.32.0", "0.33.0"))
    typed = course("baseline", "verify", str(good))
    assert typed.code == 1 and "was edited" in typed.out.replace("\n", " ")
    monkeypatch.setenv("COURSE_BASELINES", str(tmp_path))
    assert course("baseline").code == 0, "a look at all cards is no failure"


def test_a_file_that_is_not_there_is_one_sentence(course: Type, tmp_path: Path) -> None:
    typed = course("baseline", "show", "gone.json")
    assert (
        typed.code == 2 and "gone.json cannot be read" in typed.err and "Traceback" not in typed.err
    )
    good = save(card(hardware=here()), tmp_path)
    for bad, said in (
        ("gone.json", "'gone.json' does not exist"),
        (str(tmp_path), "is a directory"),
    ):
        typed = course("baseline", "verify", str(good), bad)
        assert typed.code == 2 and said in typed.err


def test_the_list_holds_the_good_cards_beside_broken_ones(
    course: Type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(card(hardware=here()), tmp_path)
    (tmp_path / "a-deep.json").write_text("[" * 100_000)
    (tmp_path / "b-signed.json").write_text(signed({"format": 1, "samples": 7}))
    (tmp_path / "c-folder.json").mkdir()
    monkeypatch.setattr("graders.throughput.baselines.SHIPPED", tmp_path)
    typed = course("baseline")
    assert typed.code == 0 and typed.out.count("✗") == 3 and typed.out.count("✓") == 1
    monkeypatch.setenv("COURSE_BASELINES", str(tmp_path / "nowhere"))
    assert (
        f"$COURSE_BASELINES names {tmp_path / 'nowhere'}, which is no folder."
        in course("baseline").out
    )
