"""The timed law: what it makes of decisions, and that nothing but the part's own slowness counts
against the part."""

from __future__ import annotations

import contextlib
import fcntl
import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest
from test_baselines import SCALE, card

from graders.batch.device_lock import shared
from graders.checking.allowance import Allowance
from graders.checking.failure import Broken
from graders.checking.replies import Raised
from graders.grading import _part
from graders.registry.catalogue import catalogue
from graders.result import Figure, Outcome
from graders.throughput import laws, opponents, timed_engine, timing
from graders.throughput.baselines import save
from graders.throughput.bounds import VARIABLE, Bound, Measure
from graders.throughput.contest_side import ContestSide
from graders.throughput.decision import LAST, Interval, decide
from graders.throughput.hardware import here
from graders.throughput.opponents import Opponent
from reference_engine.roofline import RaisedCeiling

LAW = catalogue(1).laws[-1]
MEASURE = Measure(
    1, "cpu", "ragged", SCALE, (Bound("reference", 0.4, 0.8), Bound("vllm", 0.75, 1.5))
)


@pytest.mark.parametrize("type", ["OSError", "MemoryError", "RuntimeError", "ModelError"])
def test_what_an_engine_claims_of_the_machine_is_not_believed_by_itself(type: str) -> None:
    def blame(*_: object, **__: object) -> NoReturn:
        raise Broken("yours")

    recorder: Any = SimpleNamespace(broken=blame, unexpected=blame)
    for frames in ((), ((3, "plan"),)):
        with pytest.raises(Broken, match="yours") as caught:
            timed_engine._stopped(recorder, Raised((), type, "can't allocate memory", frames))
        assert caught.value.outcome is Outcome.FAIL


@dataclass
class Play:
    """A contest that measures what it is told, and what it was asked to decide."""

    ratio: float
    width: float = 1.02
    pairs: list[int] = field(default_factory=lambda: [0] * 5)
    asked: list[Any] = field(default_factory=list)
    ceiling: float = 50.0
    raised: tuple[RaisedCeiling, ...] = ()

    def decide(self, bounds: list[Any]) -> list[Any]:
        self.asked = bounds
        bracket = Interval(LAST, self.ratio, self.ratio / self.width, self.ratio * self.width)
        return [
            decide(bracket.times(each.factor), each.bound, ceiling=self.ceiling * each.factor)
            for each in bounds
        ]


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("COURSE_BASELINES", str(tmp_path))
    monkeypatch.setattr("graders.throughput.baselines.SHIPPED", tmp_path / "none")
    monkeypatch.setattr(opponents, "_installed", lambda engine: None)
    monkeypatch.setattr("graders.throughput.bounds.measures", lambda *_, **__: (MEASURE,))
    monkeypatch.setattr("graders.throughput.bounds.part_bounds", lambda *_, **__: ())
    context = SimpleNamespace(
        exercise=catalogue(1),
        beside=None,
        live=False,
        others="solutions",
        ahead=None,
        figures=[],
        cases=0,
        score=0.0,
    )
    context.progress = lambda words: None
    context.alone = contextlib.nullcontext
    context.worker, context.workers = SimpleNamespace(level="L1"), SimpleNamespace(end=lambda: None)
    return context


def timed(context: Any, monkeypatch: pytest.MonkeyPatch, play: Play) -> Play:
    monkeypatch.setattr(timing, "_paired_runs", lambda *_: play)
    laws.fast_enough(context)
    return play


def test_nothing_of_a_submission_lives_beside_what_is_timed(
    context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread in the worker of the laws before computed in the reference's turn."""
    ended: list[str] = []
    context.workers.end = lambda: ended.append("laws before")

    class Watching(Play):
        def decide(self, bounds: list[Any]) -> list[Any]:
            assert ended == ["laws before"]
            return Play.decide(self, bounds)

    timed(context, monkeypatch, Watching(0.9))


def test_who_takes_long_to_die_does_not_keep_the_device_from_others(
    context: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The lock is free while workers are ended; until then, and in all of their last breaths, they
    stand still."""
    log: list[str] = []

    def free() -> str:
        with (tmp_path / "cpu.lock").open("wb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return "held"
            return "free"

    def workers(*_: object, **__: object) -> Any:
        return SimpleNamespace(
            stop=lambda: log.append(f"stopped, {free()}"),
            end=lambda: log.append(f"ended, {free()}"),
        )

    def paired(context: Any, measure: Measure, engines: Any, opponents: object) -> Play:
        engines.engine("mine", [], measure.model, guesses=False)
        return Play(0.9)

    for name, fake in (
        ("Workers", workers),
        ("TimedEngine", lambda *_, **__: None),
        ("_paired_runs", paired),
    ):
        monkeypatch.setattr(timing, name, fake)
    with shared("cpu", tmp_path) as place:
        context.alone, context.allowance = place.alone, Allowance(math.inf)
        context.workers.end = lambda: log.append("the worker of other laws ended")
        laws.fast_enough(context)
        assert log == ["the worker of other laws ended", "stopped, held", "ended, free"]


def test_whoever_belongs_to_a_side_stands_still_in_the_others_turn() -> None:
    """Those of another workload as well."""
    log: list[str] = []

    @contextlib.contextmanager
    def still(name: str) -> Iterator[None]:
        log.append(f"{name} stops")
        yield
        log.append(f"{name} goes on")

    members: Any = [
        SimpleNamespace(still=lambda name=name: still(name), tree_seconds=lambda used=used: used)
        for name, used in (("ragged", 1.0), ("shared", 2.5))
    ]
    side = ContestSide(members)
    with side.still():
        assert log == ["ragged stops", "shared stops"]
    assert sorted(log[2:]) == ["ragged goes on", "shared goes on"]
    assert side.cpu_seconds() == 3.5


@pytest.mark.parametrize("ratio", [0.9, 0.1])
def test_a_learners_own_bounds_and_cards_are_named_in_the_verdict(
    context: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ratio: float
) -> None:
    (tmp_path / "bounds.toml").write_text(
        '[[measure]]\nexercise = 1\nworkload = "ragged"\nagainst.reference = { floor = 0.01, bound = 0.02 }\n'
    )
    save(card(hardware=here()), tmp_path)
    context.beside = tmp_path
    said = ""
    try:
        timed(context, monkeypatch, Play(ratio))
    except Broken as broken:
        said = broken.message
    named = f"the bounds are those of {tmp_path / 'bounds.toml'}, not the course's"
    assert context.figures and all(named in figure.note for figure in context.figures)
    assert named in said or ratio == 0.9
    (path,) = tmp_path.glob("*.json")
    assert any(f"{path}, not the course's own" in figure.note for figure in context.figures)


def test_a_bound_that_nobody_could_decide_takes_no_points_of_another(
    context: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reference's bound is missed half way up; beside vLLM the bracket lies around the bound
    and is too wide."""
    made = card(hardware=here())
    samples = tuple(
        replace(one, engine_seconds=2.5 * one.reference_seconds) for one in made.samples
    )
    save(replace(made, samples=samples), tmp_path)
    with pytest.raises(Broken) as caught:
        timed(context, monkeypatch, Play(0.6, width=1.3))
    assert caught.value.outcome is Outcome.FAIL and "the bound is 0.8" in caught.value.message
    assert len(context.figures) == 2 and context.score == pytest.approx(0.5)


def test_a_fast_part_meets_its_bounds_and_the_line_says_what_was_not_measured(
    context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed(context, monkeypatch, Play(1.0))
    (figure,) = context.figures
    assert isinstance(figure, Figure)
    assert (figure.name, figure.value, figure.reference) == (
        "ragged, speed beside the reference engine",
        1.0,
        0.8,
    )
    assert "measured now" in figure.note
    assert (
        "the bound against vllm was not measured (there is no card; it is not installed)"
        in figure.note
    )
    assert context.score == 1.0


def test_with_a_card_the_bound_against_vllm_counts_and_says_that_it_was_a_card(
    context: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    save(card(hardware=here()), tmp_path)
    play = timed(context, monkeypatch, Play(1.0))
    assert [(each.engine, each.factor) for each in play.asked] == [
        ("reference", 1.0),
        ("reference", 4.0),
    ]
    beside, vllm = context.figures
    assert "not measured" not in beside.note + vllm.note
    assert vllm.name == "ragged, speed beside vllm 0.32.0 (card of 2026-11-23)"
    assert (vllm.value, vllm.reference) == (4.0, 1.5)
    assert "through its card" in vllm.note


def test_both_bounds_must_be_met(
    context: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    slow = [replace(each, engine_seconds=each.reference_seconds) for each in card().samples]
    save(card(hardware=here(), samples=tuple(slow)), tmp_path)
    with pytest.raises(
        Broken, match=r"1.00 times as fast as vllm 0.32.0 \(card of 2026-11-23\); the bound is 1.5"
    ):
        timed(context, monkeypatch, Play(1.0))
    assert context.score == pytest.approx((1.0 - 0.75) / 0.75)


def test_an_outdated_card_still_counts_and_says_so(
    context: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    save(card(hardware=here(), reference="0" * 12), tmp_path)
    timed(context, monkeypatch, Play(1.0))
    assert "another version of the reference engine" in context.figures[1].note


def test_a_card_from_other_hardware_is_refused_and_named(
    context: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    save(card(), tmp_path)
    timed(context, monkeypatch, Play(1.0))
    assert len(context.figures) == 1 and "from other hardware" in context.figures[0].note


def test_a_slow_part_gets_points_on_the_slope(
    context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(
        Broken, match=r"was 0.60 times as fast as the reference engine; the bound is 0.8"
    ) as caught:
        timed(context, monkeypatch, Play(0.6))
    assert caught.value.outcome is Outcome.FAIL
    assert context.score == pytest.approx(0.5)
    assert _part(LAW, Outcome.FAIL, context.score) == 10.0


def test_a_missed_bound_is_never_worth_all_points() -> None:
    assert _part(LAW, Outcome.FAIL, 0.99) < LAW.points
    for outcome in (Outcome.CRASH, Outcome.INVALID, Outcome.TIMEOUT, Outcome.UNGRADED):
        assert _part(LAW, outcome, 1.0) == 0.0


def test_a_noisy_machine_blames_nobody(context: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Broken, match="too noisy to decide") as caught:
        timed(context, monkeypatch, Play(0.8, width=1.5))
    assert caught.value.outcome is Outcome.UNGRADED


def test_more_than_the_device_can_do_waits_for_a_person(
    context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Broken, match="held for a person") as caught:
        timed(context, monkeypatch, Play(80.0))
    assert caught.value.outcome is Outcome.UNGRADED and context.score == 0.0


def test_a_peak_that_was_measured_low_is_named_and_costs_nobody_a_point(
    context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    low = RaisedCeiling("peak", 216e9, 425e9, "the engine with your part")
    timed(context, monkeypatch, Play(1.0, raised=(low,)))
    assert context.score == 1.0
    figure = context.figures[0]
    assert (figure.value, figure.unit, figure.reference) == (425.0, "Gflop/s", 216.0)
    assert "did 425 Gflop/s where 216 were measured" in figure.note and "raised" in figure.note


def test_a_bad_bounds_file_is_not_the_parts_fault(
    context: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.undo()
    monkeypatch.setenv(VARIABLE, str(tmp_path / "gone.toml"))
    with pytest.raises(Broken, match=r"Not timed: .*gone\.toml cannot be read") as caught:
        laws.fast_enough(context)
    assert caught.value.outcome is Outcome.UNGRADED


def test_an_installed_engine_without_a_card_is_offered_live(
    context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opponents, "_installed", lambda engine: SimpleNamespace(name=engine))
    timed(context, monkeypatch, Play(1.0))
    assert "--live would time it" in context.figures[0].note


def test_live_is_said_to_be_live(
    context: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    save(card(hardware=here()), tmp_path)
    context.live = True
    monkeypatch.setattr(opponents, "_installed", lambda engine: SimpleNamespace(name=engine))
    monkeypatch.setattr(
        opponents,
        "_live",
        lambda kind, *_: Opponent(
            kind.name, "vllm 0.32.0", how="measured now, live", through="vllm"
        ),
    )
    play = timed(context, monkeypatch, Play(2.0))
    assert [each.engine for each in play.asked] == ["reference", "vllm"]
    assert "measured now, live" in context.figures[1].note


def test_among_naive_parts_no_peer_is_a_measure(
    context: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    save(card(hardware=here()), tmp_path)
    context.others = "naive"
    play = timed(context, monkeypatch, Play(1.0))
    assert [each.engine for each in play.asked] == ["reference"]
    assert "vllm" not in context.figures[0].note
