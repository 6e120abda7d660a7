"""What guessing gains one request at a time: `python -m reference_engine.benchmarks.drafters
--model waiter@20m`.

Talks of held-out dialogues go on for some tokens that nobody ends, without guesses and with each
drafter in turn, round after round, forwards and backwards. Only steps that decode are timed, and of
each talk every side's fastest round counts: what disturbs a machine makes steps slower, never
faster.
"""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch

from reference_engine.engine import Engine
from reference_engine.guessers import EAGLE, GUESSERS, PLAIN, speculator_for
from reference_engine.model import Model
from reference_engine.model_loader import load_model
from reference_engine.parts import Parts, load_part, part_files
from reference_engine.sampler import Sampling
from reference_engine.speculation import Speculator
from reference_engine.waiter.corpus import dialogue

FIRST_DIALOGUE = 400_000
TURNS = 4
SIDES = "plain, medusa, draft, eagle, or part: eagle with trees that the part of exercise 6 grows"


@dataclass(frozen=True, slots=True)
class Talk:
    """One text of one side. seconds: of the steps that only decode; tokens, passes: said in them,
    and how many."""

    seconds: float
    tokens: int
    passes: int


def speculators(
    model: Model, parts: Parts, always: bool
) -> dict[str, Callable[[], Speculator | None]]:
    """Who guesses, by name. always: not only while it pays."""

    own = replace(parts, draft_tree=None)

    def made(name: str, parts: Parts = own) -> Speculator | None:
        return speculator_for(name, model, parts, thrifty=not always, measured=True)

    return {**{name: partial(made, name) for name in GUESSERS}, "part": partial(made, EAGLE, parts)}


def talk(engine: Engine, prompt: Sequence[int], count: int, rule: Sampling) -> Talk:
    """Let the engine say so many tokens."""
    engine.add(prompt, count, rule)
    seconds, tokens, passes = 0.0, 0, 0
    while not engine.idle:
        before, began = engine.metrics.computed, time.perf_counter()
        events = engine.step()
        spent = time.perf_counter() - began
        if engine.metrics.computed - before == 1:  # the last known token, and guesses
            seconds, tokens, passes = (
                seconds + spent,
                tokens + sum(len(each.tokens) for each in events),
                passes + 1,
            )
    return Talk(seconds, tokens, passes)


def measure(
    engines: dict[str, Engine],
    prompts: Sequence[Sequence[int]],
    count: int,
    rule: Sampling,
    rounds: int,
) -> dict[str, Talk]:
    """By side: the sums over talks, of each the fastest round."""
    best: dict[str, dict[int, Talk]] = {name: {} for name in engines}
    for round in range(rounds):
        for name in list(engines)[:: 1 if round % 2 == 0 else -1]:
            for number, prompt in enumerate(prompts):
                said = talk(engines[name], prompt, count, rule)
                best[name][number] = min(
                    best[name].get(number, said), said, key=lambda each: each.seconds
                )
    return {
        name: Talk(
            sum(each.seconds for each in talks.values()),
            sum(each.tokens for each in talks.values()),
            sum(each.passes for each in talks.values()),
        )
        for name, talks in best.items()
    }


def report(found: dict[str, Talk]) -> str:
    """The figures as a table for a terminal."""
    lines = ["          tok/s  tokens/pass  ms/pass   x plain" + "  x medusa" * ("medusa" in found)]
    for name, each in found.items():
        speed = each.tokens / each.seconds
        ratios = [
            speed / (other.tokens / other.seconds)
            for key, other in found.items()
            if key in (PLAIN, "medusa")
        ]
        told = "".join(f"{ratio:>10.2f}" for ratio in ratios)
        milliseconds = 1e3 * each.seconds / each.passes
        lines.append(
            f"{name:<8}{speed:>7.0f}{each.tokens / each.passes:>13.2f}{milliseconds:>9.2f}{told}"
        )
    return "\n".join(lines)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description="Race drafters, one request at a time, in steps that decode."
    )
    parser.add_argument("--model", default="waiter@20m")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--sides", nargs="+", default=[PLAIN, "medusa", "eagle"], help=SIDES)
    parser.add_argument("--temperature", type=float, default=0.0)
    parser.add_argument("--talks", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument(
        "--always", action="store_true", help="guess in every step, not only while it pays"
    )
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    folder = Path(__file__).resolve().parents[2] / "solutions"
    model = load_model(options.model)
    parts = Parts(**{slot: load_part(path, slot) for slot, path in part_files(folder).items()})
    made = speculators(model, parts, options.always)
    guessing = {name: made[name]() for name in options.sides}
    told = [dialogue(FIRST_DIALOGUE + n, "heldout").prompt(n % TURNS) for n in range(options.talks)]
    prompts = [model.tokenizer.encode(each).ids for each in told]
    engines = {
        name: Engine(
            model, parts, num_blocks=400, max_seqs=1, token_budget=1024, speculator=guessing[name]
        )
        for name in options.sides
    }
    gc.collect()
    gc.freeze()
    rule = Sampling(options.temperature, seed=1)
    print(report(measure(engines, prompts, options.tokens, rule, options.rounds)))
    for name, speculator in guessing.items():
        if speculator is not None and not options.always:
            print(f"{name}: {speculator.verdict(1)}")


if __name__ == "__main__":
    main()
