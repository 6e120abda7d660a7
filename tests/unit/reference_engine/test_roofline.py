"""Ceilings hold however disturbed the machine is, rise when they were measured low, and work is not
counted twice."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from graders.engines.roofline import trace_work
from graders.workloads import Trace, TraceRequest
from reference_engine import ceilings
from reference_engine.ceilings import least, measure, slices
from reference_engine.llama.config import SHAPES, LlamaConfig
from reference_engine.model_loader import load_model
from reference_engine.native import library
from reference_engine.processor import FASTEST_CLOCK, Processor, operations_a_cycle, processor
from reference_engine.roofline import (
    FAR,
    SHORT,
    Ceilings,
    Roof,
    Work,
    borrowed,
    serving_work,
    token_work,
    weights_read,
)

TINY = SHAPES["tiny"]
ONE = Trace("one", 0, "random:tiny", (TraceRequest((1,) * 10, 5),), num_blocks=9, max_seqs=1)


# ---------------------------------------------------------------- measuring


class Machine:
    """A clock that goes on by `seconds` when something is done; most of the time others have the
    machine."""

    def __init__(self, seed: int, disturbed: float, seconds: float = 1e-3) -> None:
        self._dice, self._disturbed, self._seconds, self.now = (
            random.Random(seed),
            disturbed,
            seconds,
            0.0,
        )

    def work(self) -> None:
        factor = self._dice.uniform(2, 10) if self._dice.random() < self._disturbed else 1.0
        self.now += self._seconds * factor

    def clock(self) -> float:
        return self.now


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("disturbed", [0.0, 0.5, 0.9])
def test_however_many_samples_are_disturbed_the_least_is_the_truth(
    seed: int, disturbed: float
) -> None:
    machine = Machine(seed, disturbed)
    assert least(machine.work, effort=2, clock=machine.clock) == pytest.approx(1e-3)


def test_a_disturbance_that_outlasts_many_short_samples_is_waited_for() -> None:
    """Ten milliseconds of ten times slower samples: each agrees with the other, and all are wrong."""
    machine = Machine(0, 0.0, 1e-5)

    def work() -> None:
        machine.now += 1e-4 if machine.now < 1e-2 else 1e-5

    assert least(work, clock=machine.clock) == pytest.approx(1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_a_read_in_slices_is_as_fast_as_each_slice_was_once(seed: int) -> None:
    """The whole of it was never undisturbed; each slice was in some pass."""
    machine = Machine(seed, 0.5, 1e-4)
    assert slices([machine.work] * 40, clock=machine.clock) == pytest.approx(40e-4, rel=0.02)


def test_of_all_kernels_the_best_one_counts_and_one_threads_best_counts_for_every_core(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two threads at once are always disturbed here, one alone seldom; a core does 5 operations a
    second at best."""
    now, dice = [0.0], random.Random(3)

    def kernel(speed: float, threads: int) -> Callable[[], None]:
        def run() -> None:
            now[0] += 1 / speed * (3.0 if threads > 1 else dice.choice([1.0, 2.0, 9.0]))

        return run

    def products(
        _: LlamaConfig, threads: int, wanted: object
    ) -> list[tuple[int, Callable[[], None]]]:
        return [(1, kernel(speed, threads)) for speed in (1e3, 4e3, 2e3)[: 1 if threads > 1 else 3]]

    monkeypatch.setattr(ceilings, "_products", products)
    monkeypatch.setattr(ceilings, "_multiply_adds", lambda threads: [(1, kernel(5e3, threads))])
    monkeypatch.setattr(ceilings, "processor", lambda: Processor(2, 2, 0, 32))
    assert ceilings.measure_peak(TINY, threads=2, clock=lambda: now[0]) == pytest.approx(2 * 5e3)


@pytest.mark.parametrize("compiled", [True, False])
def test_a_real_machine_has_ceilings_that_a_product_does_not_reach(
    compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not compiled:
        monkeypatch.setattr(library, "library", lambda: None)
    before = torch.get_num_threads()
    found = measure(TINY, threads=1)
    assert torch.get_num_threads() == before
    assert 0 < found.bandwidth < float("inf")
    assert 0 < found.peak <= processor().theoretical_peak
    x, weight = torch.randn(128, 256), torch.randn(256, 256)
    assert (
        found.peak > 0.5 * 2 * 128 * 256**2 / least(lambda: torch.mm(x, weight), effort=1) / before
    )


# ---------------------------------------------------------------- the processor


@pytest.mark.parametrize(
    ("facts", "operations"),
    [
        ("flags : sse2 avx fma avx2", 32),
        ("flags : sse2 avx fma avx2 avx512f", 64),
        ("vendor_id : AuthenticAMD\ncpu family : 25\nflags : sse2 fma avx512f", 32),
        ("vendor_id : AuthenticAMD\ncpu family : 26\nflags : sse2 fma avx512f", 64),
        ("flags : sse2", 8),
        ("Features : fp asimd", 0),
        ("", 0),
    ],
)
def test_operations_a_cycle_by_what_the_processor_says(facts: str, operations: int) -> None:
    assert operations_a_cycle(facts) == operations


def test_a_theoretical_peak_is_known_or_infinite() -> None:
    assert Processor(1, 2, 0, 32).theoretical_peak == 64 * FASTEST_CLOCK
    assert Processor(1, 2, 0, 0).theoretical_peak == float("inf")


# ---------------------------------------------------------------- the roof


def roof(*again: Ceilings, limit: float = float("inf")) -> tuple[Roof, list[Ceilings]]:
    """One that was measured as 100 operations and 10 bytes a second; what is left of the
    measurements to come."""
    left = list(again)
    return Roof(Ceilings(100.0, 10.0), lambda: left.pop(0), limit=limit), left


def test_below_the_roof_nothing_is_measured_again() -> None:
    made, left = roof(Ceilings(1.0, 1.0))
    made.watch(Work(100.0, 10.0), 1.0, "an engine")
    assert left and not made.raised


def test_who_is_above_it_has_it_measured_again_and_that_is_all_when_it_was_too_low() -> None:
    made, left = roof(Ceilings(300.0, 5.0))
    made.watch(Work(200.0, 1.0), 1.0, "an engine")
    assert not left and not made.raised
    assert made.ceilings == Ceilings(300.0, 10.0), "the higher one of each"


def test_who_stays_above_it_raises_it_and_is_named() -> None:
    made, _ = roof(Ceilings(120.0, 10.0))
    made.watch(Work(200.0, 30.0), 1.0, "vllm")
    assert made.ceilings == Ceilings(200.0, 30.0)
    assert made.ceilings.seconds(Work(200.0, 30.0)) == 1.0, "a share of 100 % and no more"
    peak, bandwidth = made.raised
    assert (peak.ceiling, peak.measured, peak.shown, peak.who) == ("peak", 120.0, 200.0, "vllm")
    assert (bandwidth.ceiling, bandwidth.measured, bandwidth.shown) == ("bandwidth", 10.0, 30.0)
    assert peak.possible and "vllm did" in str(peak) and "raised" in str(peak)


def test_a_raised_ceiling_that_a_later_measurement_reaches_was_measured() -> None:
    made, _ = roof(Ceilings(120.0, 10.0), Ceilings(500.0, 10.0))
    made.watch(Work(200.0), 1.0, "vllm")
    made.watch(Work(300.0), 1.0, "vllm")
    assert made.ceilings.peak == 500.0 and not made.raised


@pytest.mark.parametrize(
    ("limit", "rate", "possible"),
    [
        (400.0, 390.0, True),
        (400.0, 410.0, False),
        (float("inf"), FAR * 100 - 1, True),
        (float("inf"), FAR * 100 + 1, False),
        (1.0, SHORT * 100 - 1, True),
    ],
)
def test_more_than_the_processor_can_do_is_told_from_more_than_was_measured(
    limit: float, rate: float, possible: bool
) -> None:
    made, _ = roof(Ceilings(90.0, 10.0), limit=limit)
    made.watch(Work(rate), 1.0, "somebody")
    assert made.raised[0].possible is possible
    assert made.ceilings.seconds(Work(rate)) <= 1.0


# ---------------------------------------------------------------- work


def test_the_work_is_operations_and_bytes() -> None:
    found = trace_work(ONE, TINY)
    matrices = sum(
        weight.numel() for weight in load_model("random:tiny").weights.values() if weight.dim() == 2
    )
    assert weights_read(TINY) == matrices - TINY.width * TINY.vocab, (
        "no norms, and of the embedding only rows"
    )
    keys = 4 * 2 * TINY.layers * TINY.keys * (10 + 11 + 12 + 13)
    assert found.moved == pytest.approx(5 * 4 * weights_read(TINY) + keys)
    twice = replace(ONE, requests=ONE.requests * 2, max_seqs=2)
    assert trace_work(twice, TINY).operations == pytest.approx(2 * found.operations)
    assert trace_work(twice, TINY).moved < 2 * found.moved, "weights are read once for both"
    assert trace_work(ONE, TINY, tokens_a_step=5).moved == pytest.approx(found.moved / 5)
    assert weights_read(replace(TINY, tied=True)) == weights_read(TINY), (
        "a tied head is read all the same"
    )


def test_a_product_of_a_norms_weight_can_be_left_out() -> None:
    """It is folded into the matrix that follows; the step speaks of matrices alone."""
    assert token_work(TINY) == token_work(replace(TINY, qk_norm=True))


def test_the_work_is_what_no_engine_can_leave_out() -> None:
    """Counted row by row: a token after which nothing is said gives keys and values in the last
    layer, no more."""
    matrices = TINY.width * (2 * TINY.queries + 2 * TINY.keys + 3 * TINY.inner)
    counted = 0
    for place in range(10 + 5 - 1):
        speaks = place >= 9
        for layer in range(TINY.layers):
            whole = speaks or layer < TINY.layers - 1
            counted += 2 * matrices if whole else 2 * TINY.width * 2 * TINY.keys
            counted += 4 * TINY.queries * (place + 1) if whole else 0
        counted += 2 * TINY.width * TINY.vocab if speaks else 0
    assert trace_work(ONE, TINY).operations == counted


def test_a_shared_opening_is_computed_once_where_there_is_a_prefix_cache() -> None:
    opening = tuple(range(64))
    requests = tuple(TraceRequest((*opening, guest), 1) for guest in (70, 71))
    apart = Trace("two", 0, "random:tiny", requests, num_blocks=20, max_seqs=2)
    assert (
        trace_work(replace(apart, cached=True), TINY).operations
        < 0.6 * trace_work(apart, TINY).operations
    )


def test_an_opening_is_shared_token_by_token_and_read_by_nobody_twice() -> None:
    """As by a radix cache with pages of one token; the last token of a prompt is computed whatever
    is cached."""
    prompts = (1, 2, 3, 4, 5), (1, 2, 3, 9), (1, 2, 3, 4, 5), (1, 2, 3, 9, 8, 7), (2, 3)
    requests = [(prompt, 1) for prompt in prompts]
    assert borrowed(requests) == [0, 3, 4, 4, 0]
    work = serving_work(TINY, [(prompt, 3) for prompt in prompts], seats=5, shared=True)
    own = [5, 1, 1, 1, 2]  # of the fourth, 8 may be what was said after the second
    read = 4 * 2 * TINY.layers * TINY.keys * sum(2 * each + 1 for each in own)
    assert work.moved == pytest.approx(3 * 4 * weights_read(TINY) + read)


def test_what_is_shared_does_not_depend_on_the_order_of_requests() -> None:
    """An engine may serve the short prompt first, though it came last."""
    prompts = [((1, 2, 3, 4), 1), ((1, 2), 1), ((1, 2, 3), 1)]
    for order in itertools.permutations(prompts):
        assert sum(borrowed(list(order))) == 2 + 3


def test_a_prompt_may_go_on_with_what_was_said_before() -> None:
    """A conversation: of three tokens that were said, two had keys and values."""
    assert borrowed([((1, 2), 3), ((1, 2, 7, 8, 9, 6), 1)]) == [0, 4]
