"""A race of two fake engines, its records and its plot."""

from __future__ import annotations

import json
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path
from statistics import median

import pytest

from course.drawings import panels
from course.race import race_plot
from course.race.costs import costs, figure
from course.race.table import doubts, render
from course.terminal import console
from graders.engines import race as races
from graders.engines.catalogue import ADAPTERS, KINDS, EngineKind
from graders.engines.driver import Driver
from graders.engines.engine_protocol import EngineFailure, LaunchConfig, ServedTrace
from graders.engines.environments import EnvironmentStatus, State
from graders.engines.loaded import Loaded, of_model
from graders.engines.race import RacePlan, Racer, race, turns
from graders.engines.results import RaceEntry, RaceResults, RaceSample, Result, percentiles, read
from graders.engines.roofline import trace_work
from graders.engines.scenarios import AFTER, Scenario, dropped, of_lengths, scenarios
from graders.workloads import Trace, workload
from reference_engine.arithmetic import Arithmetic
from reference_engine.model import Model, ModelError
from reference_engine.model_loader import load_model
from reference_engine.processor import Processor
from reference_engine.roofline import Ceilings

FAKE = Path(__file__).parents[3] / "fakes" / "engines" / "fake_adapter.py"
# seconds that the slow engine takes for a request: eight of them are more than a machine under load
# stalls
PACE = 0.03
PLAN = RacePlan(("reference", "naive"), "ragged", rounds=2, scale=0.125, batches=(4,), threads=1)


def makes(
    ills: dict[str, str], pace: dict[str, float]
) -> Callable[[EngineKind, LaunchConfig], Driver]:
    """Drivers of fakes under the names of real engines."""

    def make(kind: EngineKind, job: LaunchConfig) -> Driver:
        variables = {
            "FAKE_ILLS": ills.get(kind.name, ""),
            "FAKE_PACE": str(pace.get(kind.name, 0.0)),
        }
        fake = replace(kind, variables=variables)
        return Driver(
            fake, job, command=[sys.executable, str(ADAPTERS / "host.py"), str(FAKE)], timeout=20
        )

    return make


@pytest.fixture(autouse=True)
def lenient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fakes speak their own language; what they should have said is judged by its own rule."""

    def check(model: object, trace: Trace, served: ServedTrace, kind: object, dtype: str) -> None:
        for request, output in zip(trace.requests, served.outputs, strict=True):
            if output != tuple(
                (sum(request.prompt) + step) % 128 for step in range(request.max_new)
            ):
                raise races.EngineFailed(EngineFailure.OTHER_TOKENS, "it said something else")

    monkeypatch.setattr(races, "check_tokens", check)
    monkeypatch.setattr(races, "measure", lambda *_, **__: Ceilings(1e13, 1e13))


@pytest.fixture(scope="module")
def standings() -> RaceResults:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(races, "check_tokens", lambda model, trace, served, kind, dtype: None)
        patch.setattr(races, "measure", lambda *_, **__: Ceilings(1e13, 1e13))
        return race(PLAN, make=makes({}, {"naive": PACE}))


def test_both_run_every_heat_and_every_round(standings: RaceResults) -> None:
    assert standings.complete
    assert standings.scenarios() == (("whole", 0), ("prefill", 0), ("decode", 4))
    for result in standings.results:
        assert sorted(lap.round for lap in result.laps) == [0, 1]
        assert len({lap.trace for lap in result.laps}) == 2, "every round has a fresh trace"


def test_rounds_are_the_same_for_both_and_mirrored(standings: RaceResults) -> None:
    first, second = standings.of("whole")
    assert [lap.trace for lap in first.laps] == [lap.trace for lap in second.laps]
    assert [lap.place for lap in first.laps] == [0, 1]
    assert [lap.place for lap in second.laps] == [1, 0]


def test_the_slower_one_is_told_to_be_slower(standings: RaceResults) -> None:
    fast, slow = standings.of("whole")
    assert max(slow.ratios(fast)) < 1
    assert fast.ratios(fast) == (1.0, 1.0)
    assert slow.rate < fast.rate
    assert slow.spread[0] <= slow.rate <= slow.spread[1]
    assert slow.ttft[0] <= slow.ttft[1]


@pytest.mark.parametrize(
    ("ill", "failure"),
    [
        ("dies", "died"),
        ("short", "another number of tokens"),
        ("wrong", "other tokens"),
        ("smaller", "serves another model"),
        ("narrow", "serves another model"),
    ],
)
def test_a_bad_engine_leaves_with_a_named_outcome_and_no_figure(ill: str, failure: str) -> None:
    plan = replace(PLAN, rounds=1, batches=(), apart=False)
    said: list[str] = []
    found = race(plan, make=makes({"naive": ill}, {}), say=said.append)
    assert not found.complete
    assert [result.engine for result in found.results] == ["reference"]
    assert found.entrants[1].failure == failure
    assert any(line.startswith("naive is out:") for line in said)
    assert not found.entrants[1].parameters or failure != "serves another model"


def test_every_engine_says_what_it_has_loaded(standings: RaceResults) -> None:
    told = of_model("waiter")
    for entrant in json.loads(standings.as_json())["entrants"]:
        assert (entrant["weights"], entrant["parameters"], entrant["dtype"]) == (
            told.weights,
            3_164_416,
            "float32",
        )
    screen = console()
    with screen.capture() as caught:
        for block in render(standings):
            screen.print(block, soft_wrap=True)
    assert caught.get().count("; 3,164,416 parameters in float32; started in") == 2


def test_engines_that_do_not_fit_into_memory_together_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    weights = 4 * of_model("waiter").parameters
    monkeypatch.setattr("reference_engine.memory.available", lambda device: 2 * weights - 1)
    with pytest.raises(ModelError, match="2 engines hold waiter at the same time"):
        race(PLAN, make=makes({}, {}))


def test_an_engine_that_is_not_installed_is_an_entrant_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COURSE_ENGINES", str(tmp_path))
    plan = RacePlan(("naive", "transformers"), rounds=1, scale=0.125, apart=False, threads=1)
    found = race(plan, make=makes({}, {}))
    assert [result.engine for result in found.results] == ["naive"]
    assert found.entrants[1].sentence == "not installed; course engines install transformers"


def test_what_is_amiss_is_said_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COURSE_ENGINES", str(tmp_path))
    monkeypatch.setattr(
        races.os, "getloadavg", lambda: (9.0 * (races.os.cpu_count() or 1), 0.0, 0.0)
    )
    told: list[str] = []
    plan = replace(
        PLAN, engines=("transformers", "naive"), rounds=1, scale=0.06, batches=(2, 64), threads=999
    )
    race(plan, make=makes({}, {}), say=told.append)
    start = told.index("starting naive")
    assert [line.partition(" ")[0] for line in told[:start]] == ["999", "the", "transformers", "no"]
    assert "the machine is busy (load 9 a core)" in told[1]
    assert told[2] == "transformers is out: not installed; course engines install transformers"
    assert told[3].startswith("no decoding at 64: this workload has 4 seats")
    assert "only naive is left: there is nothing to compare it with" in told[start:]


def test_a_quiet_machine_and_fitting_wishes_are_not_worth_a_word(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(races.os, "getloadavg", lambda: (0.1, 0.0, 0.0))
    warned: list[str] = []
    race(replace(PLAN, rounds=1, batches=(), apart=False), make=makes({}, {}), warn=warned.append)
    assert warned == []


def test_the_next_engine_is_the_measure_when_the_first_is_out() -> None:
    warned: list[str] = []
    plan = replace(PLAN, engines=("reference", "naive", "vllm"), rounds=1, batches=(), apart=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            races.environments,
            "standing",
            lambda kind, device: EnvironmentStatus(kind, State.READY, device, None),
        )
        found = race(plan, make=makes({"reference": "wrong"}, {}), warn=warned.append)
    assert found.measure == "naive"
    assert "ratios are to naive now, as reference is out" in warned


def interrupting(race_of: str, lap: int) -> Callable[[EngineKind, LaunchConfig], Driver]:
    """Drivers of fakes, of which one is interrupted on the keyboard when it serves for the time
    after `lap`."""
    make = makes({}, {})

    def interrupted(kind: EngineKind, job: LaunchConfig) -> Driver:
        driver, calls = make(kind, job), count()
        serve = driver.serve

        def once(trace: Trace, limit: float | None = None) -> ServedTrace:
            if kind.name == race_of and next(calls) == lap:
                raise KeyboardInterrupt
            return serve(trace, limit)

        driver.serve = once  # type: ignore[method-assign]
        return driver

    return interrupted


def test_an_interrupted_race_keeps_the_complete_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Driver, "warm_up", lambda self, trace, most=3: iter([self.serve(trace)]))
    plan = replace(PLAN, rounds=5, batches=(), apart=False)
    found = race(plan, make=interrupting("reference", 3))
    assert found.interrupted and found.course.rounds == 2
    assert [[lap.round for lap in result.laps] for result in found.results] == [[0, 1], [0, 1]]
    with pytest.raises(KeyboardInterrupt):
        race(plan, make=interrupting("naive", 1))


def test_nobody_left_ends_the_race() -> None:
    told: list[str] = []
    race(
        replace(PLAN, engines=("naive",), batches=()),
        make=makes({"naive": "dies"}, {}),
        say=told.append,
    )
    assert not any(line.startswith("round ") for line in told)


def test_nobody_left_is_a_result_too() -> None:
    plan = RacePlan(("reference",), rounds=1, scale=0.125, apart=False, threads=1)
    found = race(plan, make=makes({"reference": "raises"}, {}))
    assert found.results == ()
    assert ET.fromstring(race_plot.svg(found)).tag.endswith("svg")
    assert list(render(found))


def test_bad_wishes_are_refused() -> None:
    with pytest.raises(ValueError, match="no engine called 'gpt'"):
        race(replace(PLAN, engines=("gpt",)))
    with pytest.raises(ValueError, match="more than 100,000 requests of ragged; 1,562 is the most"):
        race(replace(PLAN, scale=1e4))
    with pytest.raises(ValueError, match="no workload called"):
        race(replace(PLAN, workload="breakfast"))
    with pytest.raises(ModelError):
        race(replace(PLAN, model="nowhere"))


@pytest.fixture
def ready(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every engine is installed, and this processor multiplies bf16."""
    monkeypatch.setattr(
        races.environments,
        "standing",
        lambda kind, device: EnvironmentStatus(kind, State.READY, device, None),
    )
    for room in ("race", "precision"):
        monkeypatch.setattr(f"graders.engines.{room}.lacks", lambda *_: "")


@pytest.mark.usefixtures("ready")
def test_best_against_best_each_engine_races_in_what_it_was_quickest_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pace = str(PACE)
    slow, checked = (
        {"FAKE_PACE_float32": pace, "FAKE_PACE_bfloat16": pace},
        set[tuple[str, str, bool]](),
    )

    def make(kind: EngineKind, job: LaunchConfig) -> Driver:
        quick = slow if kind.name != "vllm" else {"FAKE_PACE_float32": pace}
        fake = replace(kind, variables=quick)
        return Driver(
            fake, job, command=[sys.executable, str(ADAPTERS / "host.py"), str(FAKE)], timeout=20
        )

    def check(model: Model, trace: object, served: object, kind: EngineKind, dtype: str) -> None:
        checked.add((kind.name, dtype, kind.exact))
        assert (model.bytes_a_weight < 1.5) == (dtype == "q8_0"), (
            "each is judged by the weights that it was given"
        )

    monkeypatch.setattr(races, "check_tokens", check)
    plan = replace(
        PLAN,
        engines=("reference", "vllm", "llama.cpp"),
        rounds=1,
        batches=(),
        apart=False,
        dtype="best",
    )
    found = race(plan, make=make)
    assert [entrant.dtype for entrant in found.entrants] == ["q8_0", "bfloat16", "q8_0"]
    tried = [list(entrant.tried) for entrant in found.entrants]
    assert tried == [
        ["bfloat16", "q8_0", "bfloat16, products in bfloat16", "q8_0, products in int8"],
        ["float32", "bfloat16"],
        ["float32", "bfloat16", "q8_0"],
    ]
    assert all(entrant.memory > 1 << 20 and entrant.least > 1 << 20 for entrant in found.entrants)
    assert {("reference", "bfloat16", True), ("reference", "bfloat16", False)} < checked
    screen = console()
    with screen.capture() as caught:
        for block in render(read(found.as_json())):
            screen.print(block, soft_wrap=True)
    assert (
        "each in its quickest dtype" in caught.get()
        and "; the quickest of float32 " in caught.get()
    )


@pytest.mark.usefixtures("ready")
def test_an_engine_that_fails_in_one_dtype_races_in_another() -> None:
    def make(kind: EngineKind, job: LaunchConfig) -> Driver:
        return makes({kind.name: "dies" if job.dtype == "bfloat16" else ""}, {})(kind, job)

    plan = replace(
        PLAN, engines=("vllm", "llama.cpp"), rounds=1, batches=(), apart=False, dtype="best"
    )
    found = race(plan, make=make)
    assert found.complete
    assert [sorted(entrant.tried) for entrant in found.entrants] == [
        ["float32"],
        ["float32", "q8_0"],
    ]


@pytest.mark.usefixtures("ready")
def test_products_in_bf16_are_asked_for_and_judged_as_such() -> None:
    told = dict[str, tuple[str, bool]]()

    def make(kind: EngineKind, job: LaunchConfig) -> Driver:
        told[kind.name] = job.arithmetic, kind.exact
        return makes({}, {})(kind, job)

    plan = replace(
        PLAN, engines=("naive", "vllm"), rounds=1, batches=(), apart=False, dtype="bfloat16"
    )
    found = race(replace(plan, arithmetic="bfloat16"), make=make)
    assert told == {"naive": ("bfloat16", False), "vllm": ("float32", False)}
    assert found.entrants[0].note == "near-ties up to 0.5 are let pass"
    with pytest.raises(ValueError, match="products in bfloat16 are for weights that are stored so"):
        race(replace(plan, arithmetic="bfloat16", dtype="float32"))


@pytest.mark.usefixtures("ready")
def test_kv_in_bf16_is_told_to_our_engine_and_judged_as_such() -> None:
    told = dict[str, tuple[str, bool]]()

    def make(kind: EngineKind, job: LaunchConfig) -> Driver:
        told[kind.name] = job.kv_dtype, kind.exact
        return makes({}, {})(kind, job)

    plan = replace(
        PLAN, engines=("naive", "vllm"), rounds=1, batches=(), apart=False, kv_dtype="bfloat16"
    )
    found = race(plan, make=make)
    assert told == {"naive": ("bfloat16", False), "vllm": ("float32", False)}
    notes = [entrant.note for entrant in found.entrants]
    assert notes == ["near-ties up to 0.5 are let pass", KINDS["vllm"].notes["cpu"]]


def test_products_that_this_processor_lacks_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        races, "lacks", lambda asked, device: "none here" if asked is Arithmetic.BF16 else ""
    )
    with pytest.raises(ValueError, match="none here"):
        race(replace(PLAN, dtype="bfloat16", arithmetic="bfloat16"))


def test_turns_are_mirrored_and_move_on() -> None:
    model = load_model("random:tiny")
    racers = [
        Racer(
            RaceEntry(name, name),
            Driver(KINDS["reference"], LaunchConfig("", 1, 1, 1, Loaded("", 1))),
            model,
        )
        for name in "ABC"
    ]
    order = ["".join(racer.name for racer in turns(racers, number)) for number in range(6)]
    assert order == ["ABC", "CBA", "BCA", "ACB", "CAB", "BAC"]
    assert turns([], 3) == []


def test_json_comes_back_as_it_was(standings: RaceResults) -> None:
    assert read(standings.as_json()) == standings
    with pytest.raises(ValueError, match="no race"):
        read("[]")
    with pytest.raises(ValueError, match="format 99"):
        read(json.dumps({"format": 99}))


def test_the_plot_is_well_formed_and_names_everybody(standings: RaceResults) -> None:
    root = ET.fromstring(race_plot.svg(standings))
    texts = [element.text or "" for element in root.iter() if element.tag.endswith("text")]
    assert "ragged · waiter · 8 requests" in texts
    assert texts.count("reference") >= 3, "a bar, a curve, a waiting time"
    assert texts.count("naive") >= 3
    dots = [element for element in root.iter() if element.tag.endswith("circle")]
    assert len(dots) == 4 + 2 + 4, "rounds, batches, waiting times"
    numbers = [
        float(element.attrib["width"]) for element in root.iter() if element.attrib.get("rx") == "3"
    ]
    assert numbers[0] > numbers[1] > 0


def test_the_table_says_what_has_to_be_said(standings: RaceResults) -> None:
    screen = console()
    with screen.capture() as caught:
        for block in render(standings):
            screen.print(block)
    text = caught.get()
    for word in (
        "interleaved",
        "reference",
        "naive",
        "1.00x",
        "TTFT",
        "roof",
        "prompts alone",
        "4 at a time",
    ):
        assert word in text


def test_heats_fit_into_the_memory() -> None:
    trace = workload("ragged", 0, scale=0.25)
    chosen = scenarios(trace, (1, 4, 16, 64, 4), apart=True)
    assert [scenario.title for scenario in chosen] == [
        "whole",
        "prefill",
        "decode at 1",
        "decode at 4",
        "decode at 16",
    ]
    for scenario in chosen:
        drawn = scenario.trace("ragged", 5, model="waiter", scale=0.25)
        assert drawn.longest <= drawn.kv_tokens
        if scenario.batch:
            held = sum(
                -(-(len(request.prompt) + request.max_new) // 32) * 32 for request in drawn.requests
            )
            assert held <= drawn.kv_tokens
    assert all(
        request.max_new == 1
        for request in Scenario("prefill").trace("ragged", 5, model="waiter", scale=1).requests
    )


def test_batches_that_do_not_fit_are_named() -> None:
    trace = workload("ragged", 0, scale=0.25)
    assert dropped((1, 4, 64, 999), scenarios(trace, (1, 4, 64, 999), apart=True)) == (64, 999)


def test_percentiles_are_of_nearest_rank() -> None:
    assert percentiles([3.0, 1.0, 2.0]) == (2.0, 3.0)
    assert percentiles([float(value) for value in range(100, 0, -1)]) == (50.0, 95.0)
    with pytest.raises(ValueError, match="nothing"):
        percentiles([])


def test_an_engine_above_the_roof_raises_it_and_the_race_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The machine was busy when its ceilings were measured, and was when they were measured again."""
    asked = list[int]()

    def measured(*_: object, effort: int = 1, **__: object) -> Ceilings:
        asked.append(effort)
        return Ceilings(1e6, 1e6)

    monkeypatch.setattr(races, "measure", measured)
    # fakes compute nothing
    monkeypatch.setattr(races, "processor", lambda: Processor(1, 1, 0, 10**9))
    found = race(replace(PLAN, batches=(), apart=False), make=makes({}, {"naive": PACE}))
    assert asked[0] == 1 and set(asked[1:]) == {2}, "measured again, more patiently"
    shares = [lap.roofline for result in found.results for lap in result.laps]
    assert max(shares) == pytest.approx(1.0) and max(shares) <= 1
    raised = {each.ceiling: each for each in found.course.raised}
    assert {"peak", "bandwidth"} >= set(raised) and raised
    assert all(each.possible and each.measured == 1e6 for each in raised.values())
    assert all(getattr(found.course, name) == each.shown for name, each in raised.items())
    assert read(found.as_json()) == found and json.loads(found.as_json())["course"]["raised"]
    assert "were measured, again too: the roof is raised to it." in " ".join(doubts(found))


def test_more_than_the_processor_can_do_is_for_a_person_to_look_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(races, "measure", lambda *_, **__: Ceilings(1e6, 1e15))
    monkeypatch.setattr(races, "processor", lambda: Processor(1, 1, 0, 1))
    found = race(replace(PLAN, batches=(), apart=False), make=makes({}, {}))
    assert not found.course.raised[0].possible
    assert "more than this processor can do" in " ".join(doubts(found))
    assert max(lap.roofline for result in found.results for lap in result.laps) <= 1


def test_a_race_that_was_stored_without_raised_ceilings_is_read(standings: RaceResults) -> None:
    data = json.loads(standings.as_json())
    del data["course"]["raised"]
    assert read(json.dumps(data)) == standings


def test_a_lap_is_a_rate_and_a_share_of_the_roofline() -> None:
    lap = RaceSample(0, 0, "x", 2.0, 1.0, 30, 10, (0.1, 0.2), None, 0.5)
    assert (lap.rate, lap.reading, lap.roofline) == (5.0, 15.0, 0.25)


def busy(standings: RaceResults, cpu: float, **changed: object) -> RaceResults:
    """The same race with every lap using `cpu` processors."""
    results = tuple(
        replace(result, laps=tuple(replace(lap, cpu=cpu * lap.seconds) for lap in result.laps))
        for result in standings.results
    )
    return replace(standings, results=results, course=replace(standings.course, **changed))  # type: ignore[arg-type]


def test_a_busy_machine_is_named_and_its_rates_do_not_count(standings: RaceResults) -> None:
    screen = console()
    with screen.capture() as caught:
        for block in render(busy(standings, 0.4)):
            screen.print(block, soft_wrap=True)
    assert " got 0.4 of a core in the scenario " in caught.get()


def test_an_engine_that_waits_for_guests_or_a_gpu_is_not_called_starved(
    standings: RaceResults,
) -> None:
    assert busy(standings, 0.4).starved
    assert not busy(standings, 1.0).starved
    assert not busy(standings, 0.0).starved, "unknown is not little"
    assert not busy(standings, 0.4, arriving=True).starved
    assert not busy(standings, 0.4, device="cuda").starved


def test_tokens_a_processor_second_do_not_depend_on_the_wall_clock() -> None:
    laps = tuple(
        RaceSample(number, 0, "x", seconds, 2.0, 30, 10, (0.1, 0.2), None, 0.5)
        for number, seconds in ((0, 2), (1, 9))
    )
    assert Result("reference", "whole", 0, laps).thrift == 5.0


def lengths_race(**changed: object) -> RaceResults:
    plan = replace(PLAN, lengths=(16, 64), batches=(), **changed)  # type: ignore[arg-type]
    return race(plan, make=makes({}, {"naive": PACE}))


def test_requests_alone_are_told_by_what_their_prompt_and_what_further_tokens_took() -> None:
    found = lengths_race()
    assert found.complete
    assert found.scenarios() == (("prompt", 16), ("context", 16), ("prompt", 64), ("context", 64))
    for length in (16, 64):
        read, said = found.of("prompt", length)[0], found.of("context", length)[0]
        for first, further in zip(read.laps, said.laps, strict=True):
            assert (first.tokens_in, first.tokens_out) == (length, 1)
            assert (further.tokens_in, further.tokens_out) == (0, AFTER - 1)
            assert first.ttft[0] == pytest.approx(first.seconds)
            assert further.tpot is not None
            assert further.tpot[0] * (AFTER - 1) == pytest.approx(further.seconds, abs=1e-6)
            assert min(first.floor, further.floor) > 0


def test_floors_of_a_prompt_and_of_what_follows_add_up_and_grow_with_the_context() -> None:
    config, (short, long) = load_model("waiter").config, of_lengths((64, 16))
    works = {}
    for scenario in (short, long):
        trace = scenario.trace("ragged", 7, model="waiter", scale=0.125)
        whole = trace_work(trace, config)
        parts = [view.work(trace, lambda of: trace_work(of, config)) for view in scenario.views]
        assert sum(part.operations for part in parts) == pytest.approx(whole.operations)
        assert sum(part.moved for part in parts) == pytest.approx(whole.moved)
        works[scenario.batch] = parts
    assert works[64][0].operations > 3 * works[16][0].operations
    assert works[64][1].moved > works[16][1].moved


@pytest.mark.parametrize(
    ("lengths", "told"), [((4096,), "holds 1,024 tokens: no prompt of 4,096"), ((0, 8), "a token")]
)
def test_lengths_that_no_request_can_have_are_refused(lengths: tuple[int, ...], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        race(replace(PLAN, lengths=lengths), make=makes({}, {}))


def test_costs_are_drawn_over_what_was_raced_beside_the_floor(standings: RaceResults) -> None:
    alone = lengths_race(rounds=1)
    found = {over.title: over for over in costs([standings, alone])}
    assert [over.partition(":")[0] for over in found] == [
        "Over batch",
        "Over context",
        "Over the prompt",
    ]
    (step,) = [cost for cost in found["Over batch: a step"].costs if cost.engine == "reference"]
    decode = standings.result("reference", "decode", 4)
    assert decode is not None
    steps = decode.laps[0].tokens_out / 4
    assert step.taken == pytest.approx(1e3 * median(lap.seconds for lap in decode.laps) / steps)
    assert all(cost.taken >= cost.floor for over in found.values() for cost in over.costs)
    drawn = panels.svg(figure([standings, alone]))
    ET.fromstring(drawn)
    assert drawn.count("Over ") == 3
    assert "floor" in drawn


def test_costs_over_size_are_of_the_parameters_that_were_loaded(standings: RaceResults) -> None:
    small = lengths_race(rounds=1)
    entrants = tuple(replace(each, parameters=each.parameters * 4) for each in small.entrants)
    large = replace(small, course=replace(small.course, model="larger"), entrants=entrants)
    (over,) = [each for each in costs([small, large]) if each.x == "parameters"]
    assert len({cost.x for cost in over.costs}) == 2
    assert over.names == ("reference", "naive")


def test_costs_of_different_machines_or_of_nothing_are_refused(standings: RaceResults) -> None:
    other = replace(standings, course=replace(standings.course, machine="another"))
    with pytest.raises(ValueError, match="more than one machine"):
        costs([standings, other])
    with pytest.raises(ValueError, match="timed nothing alone"):
        costs([replace(standings, results=standings.of("whole"))])
