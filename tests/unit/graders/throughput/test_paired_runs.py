"""A contest: turns, fresh traces, verified tokens, and the ways in which a submission or a machine
can spoil it."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import pytest

from graders.checking.failure import Broken
from graders.result import Outcome
from graders.sandbox.guest.throughput import peak
from graders.throughput import paired_runs as contests
from graders.throughput.decision import Call
from graders.throughput.paired_runs import OpponentBound, PairedRuns, distinct_tokens
from graders.throughput.timed_engine import TimedRun
from graders.workloads import Trace, TraceRequest, workload
from reference_engine.model_loader import load_model
from reference_engine.processor import Processor
from reference_engine.roofline import TokenWork

Serve = Callable[[Trace], TimedRun]
SCALE = 0.05


class FakeRoom:
    """Serves every trace in `seconds` of a clock of its own, with tokens that follow from the
    prompt."""

    def __init__(self, name: str, seconds: float, log: list[tuple[str, str]]) -> None:
        self.name, self.seconds, self.log = name, seconds, log
        self.spent = itertools.repeat(0.0)
        self.change: Serve | None = None
        self.peaks, self.effort = itertools.repeat(1e12), list[int]()

    def serve(self, trace: Trace) -> TimedRun:
        self.log.append((self.name, trace.hash))
        outputs = tuple((sum(each.prompt) % 97,) * each.max_new for each in trace.requests)
        return self.change(trace) if self.change else TimedRun(self.seconds, outputs)

    def peak(self, trace: Trace, effort: int = 1) -> tuple[float, TokenWork]:
        self.effort.append(effort)
        return next(self.peaks), TokenWork(10, 5)

    def still(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def cpu_seconds(self) -> float:
        return next(self.spent)


def contest(
    mine: float = 1.0, theirs: float = 1.0, right: bool = False
) -> tuple[PairedRuns, list[tuple[str, str]]]:
    log: list[tuple[str, str]] = []
    rooms = FakeRoom("mine", mine, log), FakeRoom("theirs", theirs, log)
    made = PairedRuns("ragged", 3, *rooms, lambda trace, said, number: right, scale=SCALE)  # type: ignore[arg-type]
    return made, log


def change(made: PairedRuns, serve: Serve) -> None:
    assert isinstance(made.mine, FakeRoom)
    made.mine.change = serve


def test_five_pairs_in_turn_each_on_a_trace_of_its_own() -> None:
    made, log = contest()
    (decision,) = made.decide([OpponentBound(0.8)])
    assert decision.met and len(made.pairs) == 5
    names = [name for name, _ in log[2:]]
    assert names == ["mine", "theirs", "theirs", "mine"] * 2 + ["mine", "theirs"]
    traces = [trace for _, trace in log]
    assert traces[0::2] == traces[1::2] and len(set(traces)) == 6, (
        "the warm-up has one of its own too"
    )


@pytest.mark.parametrize(("slower", "pairs"), [(2.0, 5), (4.0, 3)])
def test_half_the_speed_misses_the_bound_and_a_quarter_misses_it_sooner(
    slower: float, pairs: int
) -> None:
    made, _ = contest(mine=slower)
    (decision,) = made.decide([OpponentBound(0.8)])
    assert decision.call is Call.MISSED and decision.bracket.median == 1 / slower
    assert len(made.pairs) == pairs


def test_one_bound_missed_beyond_hope_ends_it_for_all() -> None:
    made, _ = contest(mine=4.0)
    missed, other = made.decide([OpponentBound(0.8), OpponentBound(0.2, factor=1.0)])
    assert missed.call is Call.MISSED and other.call is Call.MORE and len(made.pairs) == 3


def test_what_is_decided_stays_decided_while_another_bound_needs_more_pairs() -> None:
    made, _ = contest()
    seconds = iter([1.0, *[1.2] * 4, 1.24, *[1.3] * 50])
    honest = FakeRoom("", 0, []).serve
    change(made, lambda trace: replace(honest(trace), seconds=next(seconds)))
    first, second = made.decide([OpponentBound(0.8), OpponentBound(0.82)])
    assert first.met and first.bracket.pairs == 5
    assert second.call is Call.MISSED and second.bracket.pairs > 5


def test_a_card_counts_through_the_reference_engine() -> None:
    made, _ = contest(mine=2.0)
    behind, ahead = made.decide([OpponentBound(0.8), OpponentBound(1.5, factor=4.0)])
    assert behind.call is Call.MISSED
    assert ahead.met and ahead.bracket.median == 2.0


def test_a_live_engine_takes_its_turns() -> None:
    made, log = contest()
    made.opponents = {"vllm": FakeRoom("vllm", 3.0, log)}
    beside, live = made.decide([OpponentBound(0.8), OpponentBound(1.5, "vllm")])
    assert beside.met and live.met and live.bracket.median == 3.0
    assert [name for name, _ in log if name != "mine"].count("vllm") == 6


def test_more_pairs_are_run_only_while_it_is_too_close_to_call() -> None:
    made, _ = contest()
    seconds = itertools.cycle([1.2, 1.3])
    words: list[str] = []
    made.progress = words.append
    honest = FakeRoom("", 0, []).serve
    change(made, lambda trace: replace(honest(trace), seconds=next(seconds)))
    (decision,) = made.decide([OpponentBound(0.8)])
    assert decision.final and decision.marginal and len(made.pairs) == 23
    assert "pair 6 of 8, too close to call so far" in words[6]


def test_what_is_too_close_to_call_stays_undecided_when_time_is_up() -> None:
    made, _ = contest()
    made.time_limit = 0.0
    seconds = itertools.cycle([1.2, 1.3])
    honest = FakeRoom("", 0, []).serve
    change(made, lambda trace: replace(honest(trace), seconds=next(seconds)))
    close, clear = made.decide([OpponentBound(0.8), OpponentBound(0.5)])
    assert close.call is Call.UNDECIDED and clear.met and len(made.pairs) == 5


@pytest.mark.parametrize("right", [True, False])
def test_other_tokens_than_the_references_are_put_to_the_oracle(right: bool) -> None:
    made, _ = contest(right=right)
    honest = FakeRoom("", 1.0, []).serve

    def other(trace: Trace) -> TimedRun:
        timed = honest(trace)
        first = (*timed.outputs[0][:3], 99, *timed.outputs[0][4:])
        return replace(timed, outputs=(first, *timed.outputs[1:]))

    change(made, other)
    if right:
        assert made.decide([OpponentBound(0.8)])[0].met
    else:
        with pytest.raises(
            Broken, match="request 0 got something else than the model says: token 3 is 99"
        ):
            made.decide([OpponentBound(0.8)])


def test_too_few_tokens_are_no_speed() -> None:
    made, _ = contest()
    change(made, lambda trace: TimedRun(0.001, tuple(() for _ in trace.requests)))
    with pytest.raises(Broken, match="request 0 got 0 tokens"):
        made.decide([OpponentBound(0.8)])


def least_work(made: PairedRuns) -> float:
    """Operations of the first pair's trace."""
    trace = workload("ragged", 3 * 64, scale=SCALE)
    return 2.0 * (10 * distinct_tokens(trace) + 5 * trace.tokens_out)


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> Processor:
    """A processor that can do 400 Gflop/s and no more."""
    made = Processor(cores=2, threads=2, cache=0, operations=32)
    monkeypatch.setattr(contests, "processor", lambda: made)
    return made


@pytest.mark.parametrize("share", [0.3, 0.95])
def test_above_a_peak_that_was_measured_low_is_nobodys_fault_and_raises_it(
    known: Processor, share: float
) -> None:
    """The machine was busy when the peak was measured, and was when it was measured again."""
    made, _ = contest()
    work = least_work(made)
    assert isinstance(made.theirs, FakeRoom)
    made.theirs.peaks = itertools.repeat(0.05 * known.theoretical_peak)
    fast = work / (share * known.theoretical_peak)
    honest = FakeRoom("", fast / 1.2, []).serve
    change(made, lambda trace: replace(honest(trace), seconds=fast * 1.2))
    (decision,) = made.decide([OpponentBound(0.8)])
    assert decision.met and not decision.review
    (raised,) = made.raised
    assert raised.possible and raised.who == "the engine with your part"
    assert raised.shown > raised.measured == 0.05 * known.theoretical_peak
    assert set(made.theirs.effort[1:]) == {contests.AGAIN}, "measured again, more patiently"


def test_a_peak_that_is_higher_when_it_is_measured_again_is_not_raised(known: Processor) -> None:
    made, _ = contest(mine=1.0, theirs=1.0)
    work = least_work(made)
    assert isinstance(made.theirs, FakeRoom)
    made.theirs.peaks = itertools.chain([0.5 * work], itertools.repeat(10 * work))
    (decision,) = made.decide([OpponentBound(0.8)])
    assert decision.met and made.raised == ()
    assert made.theirs.effort == [1, contests.AGAIN], "once is enough"


@pytest.mark.parametrize("operations", [32, 0], ids=["known", "unknown"])
def test_faster_than_any_processor_of_this_kind_is_held_for_review(
    operations: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three times what was measured, and again, is more than it can do; so whoever says so has not
    done the work."""
    monkeypatch.setattr(contests, "processor", lambda: Processor(2, 2, 0, operations))
    made, _ = contest()
    assert isinstance(made.theirs, FakeRoom)
    made.theirs.peaks = itertools.repeat(190e9)
    change(made, faster(made, 3.3 * 190e9))
    (decision,) = made.decide([OpponentBound(0.8)])
    assert decision.review and not decision.met
    assert not made.raised[0].possible


def faster(made: PairedRuns, rate: float) -> Serve:
    """Serves at so many operations a second."""
    honest = FakeRoom("", 0, []).serve

    def serve(trace: Trace) -> TimedRun:
        work = 2.0 * (10 * distinct_tokens(trace) + 5 * trace.tokens_out)
        return replace(honest(trace), seconds=work / rate)

    return serve


def test_a_reference_that_was_slowed_down_makes_no_honest_part_impossible(known: Processor) -> None:
    """Its time in the warm-up says nothing of its time in the pairs: a hundred times as long here."""
    made, _ = contest()
    assert isinstance(made.theirs, FakeRoom)
    slow, honest = itertools.chain([1e-6], itertools.repeat(1e-4)), FakeRoom("", 0, []).serve
    made.theirs.change = lambda trace: replace(honest(trace), seconds=next(slow))
    change(made, faster(made, 0.9 * known.theoretical_peak))
    (decision,) = made.decide([OpponentBound(0.8)])
    assert decision.met and not decision.review


@pytest.mark.parametrize("used", [1.0, 0.09])
def test_computing_while_another_is_timed_is_tampering(used: float) -> None:
    """Of a second. Nobody who stands still uses any."""
    made, _ = contest()
    assert isinstance(made.mine, FakeRoom)
    made.mine.spent = itertools.count(step=used)
    with pytest.raises(Broken, match="while another engine was timed") as caught:
        made.decide([OpponentBound(0.8)])
    assert caught.value.outcome is Outcome.INVALID


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (Broken("it died"), "the engine beside yours, reference, failed. it died"),
        (Broken("Not timed: no model", outcome=Outcome.UNGRADED), "^Not timed: no model$"),
    ],
)
def test_a_fault_of_the_other_engine_is_not_the_submissions(broken: Broken, said: str) -> None:
    made, _ = contest()

    def fails(trace: Trace) -> TimedRun:
        raise broken

    assert isinstance(made.theirs, FakeRoom)
    made.theirs.change = fails
    with pytest.raises(Broken, match=said) as caught:
        made.decide([OpponentBound(0.8)])
    assert caught.value.outcome is Outcome.UNGRADED


def test_the_work_of_a_token_is_counted_from_the_weights() -> None:
    model = load_model("random:tiny")
    sizes = {name: weight.numel() for name, weight in model.weights.items() if weight.dim() == 2}
    del sizes["model.embed_tokens.weight"]
    last = f".{model.config.layers - 1}."
    owed = {
        name
        for name in sizes
        if "lm_head" not in name and (last not in name or "k_proj" in name or "v_proj" in name)
    }
    speed, least, more = peak(SimpleNamespace(model=model), 1)
    assert speed > 0
    assert least == sum(sizes[name] for name in owed), "norms are left aside"
    assert least + more == sum(sizes.values())


def test_an_opening_that_is_shared_counts_once() -> None:
    requests = tuple(TraceRequest((1, 2, 3, *end), 5) for end in [(4,), (5, 6), (4, 7), ()])
    trace = Trace("made up", 0, "waiter", requests, num_blocks=9, max_seqs=4)
    assert distinct_tokens(trace) == 3 + 1 + 1 + 1 + 4 * 4, (
        "the 5 may be what was said after 1, 2, 3"
    )
    whole = workload("nothing_shared", 1, scale=0.1)
    assert distinct_tokens(whole) == pytest.approx(whole.tokens_in + whole.tokens_out, rel=0.01)
