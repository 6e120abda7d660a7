"""The protocol between grader and engines, with an engine that misbehaves on demand."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from graders.engines.catalogue import ADAPTERS, EngineKind
from graders.engines.driver import Driver, last_line
from graders.engines.engine_protocol import EngineFailed, EngineFailure, LaunchConfig, read_served
from graders.engines.loaded import Loaded, given
from graders.workloads import Trace, TraceRequest
from reference_engine.llama.config import SHAPES
from reference_engine.llama.weights import save
from reference_engine.model_loader import load_model
from reference_engine.peers.loaded_weights import digest

FAKE = Path(__file__).parents[3] / "fakes" / "engines" / "fake_adapter.py"
KEPT = TemporaryDirectory()
PARAMETERS = SHAPES["tiny"].parameters
NOBODY = LaunchConfig(
    model="nothing", max_len=64, kv_tokens=1024, max_seqs=4, loaded=Loaded("0" * 64, 1)
)
REQUESTS = (TraceRequest((1, 2, 3), 4), TraceRequest((5,), 2, 0.02))
TRACE = Trace("short", 0, "fake", REQUESTS, num_blocks=65, max_seqs=4)


@cache
def job() -> LaunchConfig:
    """A job with the checkpoint of a tiny model, there for as long as the tests run."""
    folder = Path(KEPT.name) / "tiny"
    model = load_model("random:tiny")
    save(folder, model.config, model.weights)
    return replace(NOBODY, model=str(folder), loaded=given(folder, model.config))


@cache
def another() -> str:
    """The folder of a model of the same shape with other weights."""
    model = load_model("random:tiny@1")
    save(Path(KEPT.name) / "another", model.config, model.weights)
    return str(Path(KEPT.name) / "another")


def driver(
    ills: str = "", *, start: float = 20.0, timeout: float = 20.0, pace: float = 0.0
) -> Driver:
    variables = {"FAKE_ILLS": ills, "FAKE_PACE": str(pace), "FAKE_FOLDER": another()}
    kind = EngineKind(
        "fake", "a fake engine", "fake_adapter.py", variables=variables, timeout=start
    )
    return Driver(
        kind, job(), command=[sys.executable, str(ADAPTERS / "host.py"), str(FAKE)], timeout=timeout
    )


def failure(ills: str, **limits: float) -> EngineFailed:
    with driver(ills, **limits) as engine, pytest.raises(EngineFailed) as caught:
        engine.start()
        engine.serve(TRACE)
    assert not engine.alive
    return caught.value


@pytest.fixture
def healthy() -> Iterator[Driver]:
    with driver() as engine:
        engine.start()
        yield engine


def test_a_healthy_engine_says_what_it_is_and_serves(healthy: Driver) -> None:
    assert healthy.started is not None
    assert (healthy.started.version, healthy.started.flags) == ("1.0", {"threads": 1})
    served = healthy.serve(TRACE)
    assert served.outputs == ((6, 7, 8, 9), (5, 6))
    assert served.tokens == 6
    assert served.seconds >= 0.02
    assert all(0 <= seconds < served.seconds for seconds in served.ttft)


def test_it_can_be_asked_again_and_again(healthy: Driver) -> None:
    first = healthy.serve(TRACE)
    healthy.flush()
    healthy.pause()
    healthy.resume()
    assert healthy.serve(TRACE).outputs == first.outputs
    assert [served.outputs for served in healthy.warm_up(TRACE, 2)] == [first.outputs] * 2


def test_a_paused_engine_does_nothing() -> None:
    with driver(timeout=0.3) as engine:
        engine.start()
        engine.pause()
        with pytest.raises(EngineFailed) as caught:
            engine.serve(TRACE)
    assert caught.value.failure is EngineFailure.HUNG


def test_a_death_is_told_with_the_last_words() -> None:
    died = failure("dies")
    assert died.failure is EngineFailure.DIED
    assert (
        died.sentence
        == "fake died: it ended with status 7; the last thing it printed: the last word of a dying engine"
    )


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        ("loading\nLoading weights: 100%|███| 38/38\n", "loading"),
        ("out of memory\n\r 10%\r 20%", "out of memory"),
        ("a line\r\n", "a line"),
        ("fetching [========>   ]\n", ""),
        ("3/4 [00:01<00:02]\n5 of 7 | all fine\n", "5 of 7 | all fine"),
    ],
)
def test_a_progress_bar_is_nobodys_last_word(printed: str, expected: str) -> None:
    assert last_line(printed) == expected


def broken(
    tmp_path: Path, script: str, mode: int = 0o755, started_by: type[Driver] = Driver
) -> str:
    """What is said of an engine with an environment of its own, whose interpreter is this shell
    script."""
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(mode)
    kind = EngineKind("fake", "a fake engine", "fake_adapter.py", ("fake",), timeout=20)
    with (
        started_by(kind, NOBODY, command=[str(python)]) as engine,
        pytest.raises(EngineFailed) as caught,
    ):
        engine.start()
    return caught.value.sentence


@pytest.mark.parametrize(
    ("script", "mode", "expected"),
    [
        ("exit", 0o644, "python cannot be run: Permission denied; "),
        ("echo here is some junk that nobody asked for", 0o755, "; "),
        (
            "echo No module named encodings >&2; exit 1",
            0o755,
            "status 1; the last thing it printed: No module",
        ),
    ],
)
def test_a_broken_environment_comes_with_what_mends_it(
    tmp_path: Path, script: str, mode: int, expected: str
) -> None:
    said = broken(tmp_path, script, mode)
    assert expected in said
    assert said.endswith("; `course engines install fake --fresh` makes it anew")


class Late(Driver):
    """Asks only after the process has ended, which a busy machine may bring about."""

    def _ask(self, question: dict[str, Any], limit: float) -> dict[str, Any]:
        assert self._process is not None
        self._process.wait(20)
        return super()._ask(question, limit)


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("echo here is some junk that nobody asked for", "fake broke the protocol: it sent "),
        ("echo No module named encodings >&2; exit 1", "fake died: it ended with status 1; "),
        ("exit 3", "fake died: it ended with status 3; it printed nothing that says why"),
    ],
)
def test_an_engine_that_ends_before_it_is_asked_is_told_by_what_it_printed(
    tmp_path: Path, script: str, expected: str
) -> None:
    assert broken(tmp_path, script, started_by=Late).startswith(expected)


def test_an_environment_without_a_package_is_told_without_a_name_of_python(tmp_path: Path) -> None:
    host = f"exec {sys.executable} {ADAPTERS / 'host.py'} {tmp_path / 'adapter.py'}"
    (tmp_path / "adapter.py").write_text("import no_such_package")
    mends = "`course engines install fake --fresh` makes it anew"
    assert (
        broken(tmp_path, host) == f"fake did not start: No module named 'no_such_package'; {mends}"
    )


def test_a_death_of_another_cause_does_not_ask_for_a_new_environment(tmp_path: Path) -> None:
    assert broken(tmp_path, "kill -9 $$").endswith(
        "it was killed by SIGKILL; it printed nothing that says why"
    )


def test_an_engine_that_hangs_is_given_up() -> None:
    hung = failure("hangs", timeout=0.3)
    assert hung.failure is EngineFailure.HUNG
    assert "'serve'" in hung.sentence


def test_a_slow_start_is_no_until_its_time_is_up() -> None:
    assert failure("slow", start=0.3).failure is EngineFailure.HUNG
    with driver("slow") as engine:
        assert engine.start().seconds >= 2


def test_an_error_at_the_start_is_one_line() -> None:
    broken = failure("broken")
    assert broken.failure is EngineFailure.NOT_STARTED
    assert broken.sentence == "fake did not start: ValueError: the model is not to my taste"


def test_an_error_of_another_process_is_told_too() -> None:
    said = "RuntimeError: the core did not come up, see above; one of its processes printed ValueError: no memory for"
    assert failure("child").sentence == f"fake did not start: {said} the cache"


def test_what_an_engine_has_loaded_is_what_it_was_given(healthy: Driver) -> None:
    assert healthy.started is not None and healthy.started.loaded == job().loaded
    assert "loaded" not in job().as_json(), "what must be proved is not told"


@pytest.mark.parametrize(
    ("ill", "told"),
    [
        (
            "smaller",
            f"it holds {PARAMETERS - 1:,} parameters in float32, it was given {PARAMETERS:,} parameters in float32",
        ),
        (
            "narrow",
            f"it holds {PARAMETERS:,} parameters in bfloat16, it was given {PARAMETERS:,} parameters in float32",
        ),
        ("elsewhere", "it loaded weights {other}, it was given {own}"),
    ],
)
def test_an_engine_that_serves_another_model_is_named(ill: str, told: str) -> None:
    other, own = digest(another())[:12], job().loaded.weights[:12]
    failed = failure(ill)
    assert failed.failure is EngineFailure.OTHER_MODEL
    assert failed.sentence == f"fake serves another model: {told.format(other=other, own=own)}"


def test_an_engine_that_does_not_say_what_it_serves_breaks_the_protocol() -> None:
    failed = failure("silent")
    assert failed.failure is EngineFailure.GARBLED
    assert failed.sentence == "fake broke the protocol: it does not say which weights it has loaded"


def test_an_error_while_serving_is_named() -> None:
    raised = failure("raises")
    assert raised.failure is EngineFailure.REFUSED
    assert "MemoryError: no room for 3 guests" in raised.sentence


def test_too_few_tokens_are_no_result() -> None:
    short = failure("short")
    assert short.failure is EngineFailure.OTHER_COUNT
    assert "request 0 got 3 tokens, 4 were asked for" in short.sentence


def test_times_before_the_question_are_refused() -> None:
    assert failure("early").failure is EngineFailure.GARBLED


def test_an_interpreter_that_is_not_there() -> None:
    engine = Driver(driver().kind, NOBODY, command=["/nowhere/bin/python"])
    with engine, pytest.raises(EngineFailed) as caught:
        engine.start()
    assert caught.value.failure is EngineFailure.NOT_STARTED
    assert "No such file" in caught.value.sentence


def test_leaving_ends_the_process() -> None:
    with driver() as engine:
        engine.start()
        assert engine._process is not None
        pid = engine._process.pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_the_environment_of_an_engine_is_clean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONSTARTUP", "/nowhere")
    monkeypatch.setenv("FAKE_ILLS", "dies")
    with driver() as engine:
        engine.start()
        assert engine.serve(TRACE).tokens == 6


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({}, EngineFailure.GARBLED),
        (
            {"outputs": [[1, 2, 3, 4.5], [5, 6]], "times": [[0.0] * 4, [0.1] * 2]},
            EngineFailure.GARBLED,
        ),
        ({"outputs": [[True] * 4, [5, 6]], "times": [[0.0] * 4, [0.1] * 2]}, EngineFailure.GARBLED),
        ({"outputs": [[1, 2, 3, 4]], "times": [[0.0] * 4]}, EngineFailure.OTHER_COUNT),
        (
            {"outputs": [[1, 2, 3, 4], [5, 6, 7]], "times": [[0.0] * 4, [0.1] * 3]},
            EngineFailure.OTHER_COUNT,
        ),
        ({"outputs": [[1, 2, 3, 4], [5, 6]], "times": [[0.0] * 4, [0.1]]}, EngineFailure.GARBLED),
        (
            {"outputs": [[1, 2, 3, 4], [5, 6]], "times": [[0.0] * 4, [0.1, 9.0]]},
            EngineFailure.GARBLED,
        ),
        (
            {"outputs": [[1, 2, 3, 4], [5, 6]], "times": [[0.0] * 4, [0.01, 0.1]]},
            EngineFailure.GARBLED,
        ),
    ],
)
def test_what_an_engine_sends_is_not_believed(
    answer: dict[str, object], expected: EngineFailure
) -> None:
    with pytest.raises(EngineFailed) as caught:
        read_served(answer, TRACE, 1.0)
    assert caught.value.failure is expected


def test_waiting_counts_from_arrival_and_pace_from_the_first_token() -> None:
    times = [[0.5, 0.6, 0.7, 0.8], [0.52, 0.72]]
    served = read_served({"outputs": [[1] * 4, [2] * 2], "times": times}, TRACE, 1.0)
    assert served.ttft == pytest.approx((0.5, 0.5))
    assert served.tpot == pytest.approx((0.1, 0.2))
    assert served.rate == pytest.approx(6)
    lone = replace(TRACE, requests=(TraceRequest((1,), 1),))
    assert read_served({"outputs": [[1]], "times": [[0.0]]}, lone, 1.0).tpot == ()
