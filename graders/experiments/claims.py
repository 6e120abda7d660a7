"""The nine popular claims, and what this machine's results say of each. Imports no torch.

A claim is held against measurements of a finished lab on this machine, never against a figure from
elsewhere. Between what speaks for it and what speaks against it lies a margin: whatever falls there
is undecided, and so is what was measured while others had the machine. So three runs of a lab come
to one verdict, or to none.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from graders.engines.results import RaceResults
from graders.experiments.lab_names import SIDES
from graders.experiments.results import LabResults, Measurement, bracket, middle, ratios
from reference_engine.guessers import MEDUSA, PLAIN


class Verdict(enum.StrEnum):
    """What a claim is worth on this machine."""

    HELD = "held here"
    FAILED = "did not hold here"
    UNKNOWN = "cannot be measured here"


@dataclass(frozen=True, slots=True)
class Judgement:
    """verdict: of one claim. measured: the figures, in words; "" without any. because: why nothing
    is decided."""

    verdict: Verdict
    measured: str = ""
    because: str = ""


class Lacking(Exception):
    """Nothing can be decided: a clause that says why."""

    def __init__(self, because: str, measured: str = "") -> None:
        super().__init__(because)
        self.because, self.measured = because, measured


@dataclass(frozen=True, slots=True)
class Claim:
    """A popular sentence. lab: which one settles it. instead: what somebody says who knows. source:
    of `instead`."""

    number: int
    text: str
    lab: int
    instead: str
    source: str
    judge: Callable[[LabResults], Judgement]


def judged(claim: Claim, results: LabResults | None, absent: str = "") -> Judgement:
    """The verdict by the results of the claim's lab. absent: why there are none, if somebody knows."""
    advice = f"course lab {claim.lab}"
    if results is None:
        return Judgement(
            Verdict.UNKNOWN, because=absent or f"lab {claim.lab} was not run: {advice}"
        )
    if not results.complete:
        done = sum(key in results.finished for key in results.tasks)
        told = (
            f"lab {claim.lab} stopped after {done} of {len(results.tasks)} tasks: {advice} goes on"
        )
        return Judgement(Verdict.UNKNOWN, because=told)
    try:
        return claim.judge(results)
    except Lacking as lacking:
        return Judgement(Verdict.UNKNOWN, lacking.measured, lacking.because)
    except (ValueError, KeyError, IndexError, ZeroDivisionError):
        told = (
            f"the results of lab {claim.lab} are not what it writes: {advice} --fresh measures anew"
        )
        return Judgement(Verdict.UNKNOWN, because=told)


# ---------------------------------------------------------------- rules


def decided(values: Sequence[float], measured: str, *, holds: float, fails: float) -> Judgement:
    """HELD where the median lies beyond `holds`, FAILED where it lies beyond `fails`; Lacking in
    between.

    Which side is which follows from the order of the two.
    """
    low, high = bracket(values)
    if (low >= holds) if holds > fails else (high <= holds):
        return Judgement(Verdict.HELD, measured)
    if (high <= fails) if holds > fails else (low >= fails):
        return Judgement(Verdict.FAILED, measured)
    raise Lacking(
        f"it is undecided: between {low:.3g} and {high:.3g}, {holds:g} for and {fails:g} against it",
        measured,
    )


def _timed(results: LabResults, experiment: str, series: str, x: float) -> Measurement:
    """A point whose times count. Lacking when it is not there, or was measured on a machine too
    busy."""
    point = _there(results, experiment, series, x)
    if point.starved:
        told = f"the machine was too busy: {point.cores:.1f} of a core was left for {experiment}, {series}"
        raise Lacking(f"{told}; run the lab again when it is quiet")
    return point


def _there(results: LabResults, experiment: str, series: str, x: float) -> Measurement:
    point = results.at(experiment, series, x)
    if point is None:
        raise Lacking(f"there is no {experiment} of {series}: {_why(results)}")
    return point


def _why(results: LabResults) -> str:
    """What kept a lab from measuring something."""
    return next(iter(results.failures.values()), "it was not measured")


def _race(results: LabResults, key: str) -> RaceResults:
    race = results.race(key)
    if race is None:
        raise Lacking(results.failures.get(key, "no engines were raced: add --engines"))
    if race.starved:
        raise Lacking(
            "the machine was too busy when the engines were raced; run the lab again when it is quiet"
        )
    return race


# ---------------------------------------------------------------- the nine


def _first_head(results: LabResults) -> Judgement:
    own, following = (_there(results, "heads", series, 1.0).value for series in ("t+1+k", "t+1"))
    told = f"head 1 names the token after the next one at {own:.0%} of the places, the next one at {following:.0%}"
    return decided([following - own], told, holds=0.1, fails=-0.1)


def _later_heads(results: LabResults) -> Judgement:
    shares = results.of("heads", "t+1+k")
    if len(shares) < 2:
        raise Lacking(f"fewer than two heads can be compared: {_why(results)}")
    told = (
        "heads 1 to "
        + f"{len(shares)} are right at {', '.join(f'{each.value:.0%}' for each in shares)}"
    )
    return decided([shares[-1].value - shares[0].value], told, holds=0.03, fails=-0.03)


def _guesses_cost(results: LabResults) -> Judgement:
    told, worst = list[str](), tuple[float, ...]((0.0,))
    for model in _speeds(results):
        batches = [point.x for point in results.of(f"speed:{model}", MEDUSA)]
        batch = max(batches)
        costs = _pass_costs(results, model, batch)
        told.append(
            f"{model}: a pass with guesses takes {middle(costs):.1f} plain steps at batch {batch:.0f}"
        )
        worst = max(worst, costs, key=middle)
    return decided(worst, "; ".join(told), holds=1.05, fails=1.3)


def _pass_costs(results: LabResults, model: str, batch: float) -> tuple[float, ...]:
    """Round by round, a pass in plain steps: more tokens a pass, over how many times as fast that
    was."""
    guessing, plain = (_timed(results, f"speed:{model}", who, batch) for who in (MEDUSA, PLAIN))
    return tuple(guessing.facts["tokens a pass"] / gain for gain in ratios(guessing, plain))


def _sglang(results: LabResults) -> Judgement:
    race = _race(results, "engines, cache on")
    sglang, vllm = race.result("sglang", "whole"), race.result("vllm", "whole")
    if sglang is None or vllm is None:
        raise Lacking(_left_out(race, ("sglang", "vllm")))
    gains = sglang.ratios(vllm)
    low, high = bracket(gains)
    told = f"SGLang served the shared menu {middle(gains):.2f} times as fast as vLLM"
    if low >= 1.22 and high <= 1.53:
        return Judgement(Verdict.HELD, told)
    if high <= 1.22 or low >= 1.53:
        return Judgement(Verdict.FAILED, told)
    raise Lacking(f"it is undecided: between {low:.2f} and {high:.2f} times", told)


def _best_at_both(results: LabResults) -> Judgement:
    race = _race(results, "engines")
    decoding = {each.engine: each for each in race.of("decode", 1) if each.engine != "naive"}
    llama = decoding.get("llama.cpp")
    if llama is None or len(decoding) < 2:
        raise Lacking(_left_out(race, ("llama.cpp",)))
    best = max(decoding.values(), key=lambda each: each.rate)
    told = ", ".join(f"{name} {each.rate:,.0f}" for name, each in decoding.items())
    told = f"tokens a second at batch 1: {told}"
    if best is not llama and bracket(best.ratios(llama))[0] >= 1.1:
        return Judgement(Verdict.FAILED, told)
    raise Lacking(
        "the other half of it is about TensorRT-LLM, which needs an NVIDIA GPU and is not driven here",
        told,
    )


def _left_out(race: RaceResults, names: Sequence[str]) -> str:
    """Why an engine that the claim is about has no figures."""
    why = {one.engine: one.sentence for one in race.entrants if one.failure}
    lacking = [name for name in names if race.result(name, "whole") is None]
    told = [
        f"{name}: {why[name]}" if name in why else f"{name} was not raced: add --engines {name}"
        for name in lacking
    ]
    return "; ".join(told) or "there is nothing to compare"


def _three_effects(results: LabResults) -> Judgement:
    sides = [_timed(results, "effects", side, place) for place, side in enumerate(SIDES)]
    batching, scheduling, paging = (
        middle(ratios(before, after)) for before, after in pairwise(sides)
    )
    total, alone = ratios(sides[0], sides[-1]), ratios(sides[1], sides[2])
    if bracket(total)[0] <= 1.2:
        raise Lacking("all three ideas together gained too little here to be told apart")
    shares = [math.log(part) / math.log(whole) for part, whole in zip(alone, total, strict=True)]
    told = (
        f"sharing the weight reads gained {batching:.1f}x, scheduling by the step {scheduling:.1f}x, "
        f"pages {paging:.1f}x; {sides[1].facts['held']:.0f} requests were held at once before pages, "
        f"{sides[-1].facts['held']:.0f} with them"
    )
    return decided(shares, told, holds=0.7, fails=0.5)


def _fast_and_slow(results: LabResults) -> Judgement:
    model = next(iter(results.series("prefill")), "")
    points = results.of("prefill", model)
    if not points:
        raise Lacking(_why(results))
    reading = [point for point in points if not point.starved] or [
        _timed(results, "prefill", model, points[0].x)
    ]
    fastest = max(reading, key=lambda point: point.x / point.value)
    alone, widest = _timed(results, "decode", model, 1.0), results.of("decode", model)[-1]
    low, high = bracket(alone.samples)
    least, most = bracket(fastest.samples)
    told = (
        f"{model} read {fastest.x / fastest.value:,.0f} tokens a second and wrote "
        f"{1 / alone.value:,.0f} for one request, {widest.x / widest.value:,.0f} for {widest.x:.0f} together"
    )
    return decided([fastest.x / most * low, fastest.x / least * high], told, holds=2.5, fails=1.5)


def _gain(results: LabResults) -> Judgement:
    models, gains = _speeds(results), dict[str, tuple[float, ...]]()
    for model in models:
        gains[model] = ratios(
            _timed(results, f"speed:{model}", MEDUSA, 1.0),
            _timed(results, f"speed:{model}", PLAIN, 1.0),
        )
    told = ", ".join(f"{middle(each):.1f}x on {model}" for model, each in gains.items())
    told = f"Medusa at batch 1: {told}"
    # the claim is told in whole numbers
    return decided(gains[models[-1]], told, holds=1.75, fails=1.5)


def _waste(results: LabResults) -> Judgement:
    shares = {
        mix: _there(results, "pages", mix, 16.0).facts["wasted"] for mix in results.series("pages")
    }
    if not shares:
        raise Lacking(_why(results))
    told = (
        f"in blocks of 16: {', '.join(f'{share:.1%} with {mix}' for mix, share in shares.items())}"
    )
    return decided([max(shares.values())], told, holds=0.04, fails=0.05)


def _speeds(results: LabResults) -> list[str]:
    """The models on which drafters were timed, the largest last."""
    models = [name for name in results.setup.models if results.of(f"speed:{name}", MEDUSA)]
    if not models:
        raise Lacking(_why(results))
    return models


CLAIMS = (
    Claim(
        1,
        "Medusa head 1 predicts the next token.",
        4,
        "The LM head says the next token; head k guesses the one k further on.",
        "generate_candidates in FasterDecoding/Medusa, medusa/model/utils.py",
        _first_head,
    ),
    Claim(
        2,
        "Later tokens are easier to guess, they have more context.",
        4,
        "They are harder: a head does not see the tokens in between.",
        "medusa_acc.csv in FasterDecoding/Medusa",
        _later_heads,
    ),
    Claim(
        3,
        "Wrong guesses cost nothing.",
        4,
        "They cost rows of every product, KV slots and the heads' weights; little while reading the weights dominates.",
        "arXiv 2601.11580",
        _guesses_cost,
    ),
    Claim(
        4,
        "SGLang is 29 to 45 % faster than vLLM on chats with system prompts.",
        2,
        "Both cache prefixes; it depends on versions and workload.",
        "the engines' own documentation of prefix caching",
        _sglang,
    ),
    Claim(
        5,
        "TensorRT-LLM has the best prefill, llama.cpp the best decode.",
        1,
        "There is no such law; compare one precision at one batch. Decoding alone is bytes over bandwidth.",
        "the roofline of this lab",
        _best_at_both,
    ),
    Claim(
        6,
        "Continuous batching is what lets an engine serve 100 users where naive serving manages a couple.",
        3,
        "Three effects: batches share the weight reads, scheduling by the step ends waiting, pages make room.",
        "Orca, OSDI'22; vLLM, SOSP'23",
        _three_effects,
    ),
    Claim(
        7,
        "An engine that reads 10,000 tokens a second may write 40 a second.",
        1,
        "True and harmless: say for one user or for all, and at which batch.",
        "the roofline of this lab",
        _fast_and_slow,
    ),
    Claim(
        8,
        "Medusa makes decoding 2 to 3 times as fast, EAGLE about the same.",
        4,
        "That is at batch 1, on models large enough to be bound by their weights.",
        "the READMEs of FasterDecoding/Medusa and SafeAILab/EAGLE",
        _gain,
    ),
    Claim(
        9,
        "Paging wastes less than 4 % of memory.",
        3,
        "At most a block less one token for each sequence: say which lengths and which block size.",
        "vLLM, SOSP'23",
        _waste,
    ),
)
"""All of them, in order."""


def verdicts(labs: Mapping[int, LabResults], absent: Mapping[int, str]) -> dict[int, Judgement]:
    """Every claim's, by its number. labs: by number, as far as they count. absent: why others do
    not."""
    return {
        claim.number: judged(claim, labs.get(claim.lab), absent.get(claim.lab, ""))
        for claim in CLAIMS
    }
