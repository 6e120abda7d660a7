"""What speculation gains on the waiter, and from which batch on it loses: `python -m
reference_engine.benchmarks.medusa`.

Guests of held-out dialogues ask one question after the other, so many dialogues at a time: without
speculation, with it always on, and with it on where the engine's own cost model finds that it pays,
in turn (A B C C B A). Prompts are the whole dialogue so far; a prefix cache makes them cheap for
all sides. Steps that only decode are timed apart from those that also read prompts.
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import torch

from reference_engine import oracle
from reference_engine.engine import Engine
from reference_engine.medusa import HEADS
from reference_engine.medusa.cost_model import MeasuredCosts
from reference_engine.medusa.costs import BATCHES, best_size, engine_for
from reference_engine.medusa.heads import Guesser, Heads, load_heads
from reference_engine.medusa.speculator import MedusaSpeculator
from reference_engine.medusa.tree_search import CPU_NODES, TreeChoice, read_tree
from reference_engine.model import Model
from reference_engine.model_loader import load_model
from reference_engine.parts import Parts, load_part, part_files
from reference_engine.waiter.corpus import END, Dialogue, dialogue
from reference_engine.waiter.tokenizer import special_id

FIRST_DIALOGUE = 300_000
TURNS = 6
LONGEST = 64
FILE = "speed.json"


@dataclass(frozen=True, slots=True)
class SpeculationRun:
    """One side of a race. decoding: seconds in steps that only decode, and tokens said in them;
    whole: in all steps."""

    seconds: float
    tokens: int
    decoding: float
    decoded: int
    passes: int
    verifying: float
    part: float
    guessing: float
    texts: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]


@dataclass(frozen=True, slots=True)
class Race:
    """Plain against speculating for one batch size.

    gain: always on, in steps that only decode, which are few at large batches; gain_whole: always
    on, in all steps. decided: in all steps, on or off as the cost model decides; `verdict` says
    how. verifying, part, guessing: what `verify_greedy`, all functions of the part, and the heads
    take of the decoding time of the side that always speculates.
    """

    batch: int
    answers: int
    tokens_a_pass: float
    plain: float
    speculating: float
    gain: float
    gain_whole: float
    decided: float
    verdict: str
    verifying: float
    part: float
    guessing: float
    wrong: int


class TimedMethods:
    """Something whose methods are timed: the part, or the heads. seconds: by the method's name."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.seconds: dict[str, float] = defaultdict(float)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.inner, name)
        return self._timed(name, found) if callable(found) else found

    def _timed(self, name: str, function: Any) -> Any:
        def call(*arguments: Any, **keywords: Any) -> Any:
            began = time.perf_counter()
            try:
                return function(*arguments, **keywords)
            finally:
                self.seconds[name] += time.perf_counter() - began

        return call


class Table:
    """One dialogue in progress: what was said so far, and the guest's next question."""

    def __init__(self, told: Dialogue, model: Model) -> None:
        self._turns = [
            model.tokenizer.encode(turn.asked, add_special_tokens=False).ids for turn in told.turns
        ]
        self._newline = model.tokenizer.encode("\n", add_special_tokens=False).ids
        self.text: list[int] = [*model.tokenizer.encode(told.head).ids, *self._turns.pop(0)]
        self.answer: list[int] = []

    def next_prompt(self) -> list[int] | None:
        """What the engine is asked after an answer; None: the guests are done, or the context is
        full."""
        if not self._turns:
            return None
        self.text = [*self.text, *self.answer, *self._newline, *self._turns.pop(0)]
        self.answer = []
        return self.text


def serve(
    engine: Engine,
    tables: Iterator[Table],
    batch: int,
    eos: int,
    part: TimedMethods,
    heads: TimedMethods,
) -> SpeculationRun:
    """Serve `batch` tables at a time until none is left."""
    present: dict[int, Table] = {}
    texts: list[tuple[tuple[int, ...], tuple[int, ...]]] = []
    whole = decoding = 0.0
    tokens = decoded = passes = 0
    longest = engine.model.config.positions - LONGEST
    held = (0.0, 0.0, 0.0)

    def clocks() -> tuple[float, float, float]:
        return (
            part.seconds["verify_greedy"],
            sum(part.seconds.values()),
            sum(heads.seconds.values()),
        )

    while True:
        while len(present) < batch and (table := next(tables, None)) is not None:
            present[engine.add(table.text, LONGEST, eos=eos)] = table
        if not present:
            return SpeculationRun(whole, tokens, decoding, decoded, passes, *held, tuple(texts))
        before = (engine.metrics.computed, engine.metrics.chunks, clocks())
        began = time.perf_counter()
        events = engine.step()
        seconds = time.perf_counter() - began
        said = sum(len(event.tokens) for event in events)
        whole, tokens = whole + seconds, tokens + said
        if engine.metrics.computed - before[0] == engine.metrics.chunks - before[1]:
            decoding, decoded, passes = decoding + seconds, decoded + said, passes + len(events)
            verifying, judging, guessing = (
                now - then for now, then in zip(clocks(), before[2], strict=True)
            )
            held = held[0] + verifying, held[1] + judging, held[2] + guessing
        for event in events:
            present[event.id].answer += event.tokens
            if event.finished:
                table = present.pop(event.id)
                texts.append((tuple(table.text), tuple(table.answer)))
                prompt = table.next_prompt()
                if prompt is not None and len(prompt) <= longest:
                    present[engine.add(prompt, LONGEST, eos=eos)] = table


def race(
    model: Model,
    parts: Parts,
    guesser: Guesser,
    tree: TreeChoice,
    batch: int,
    dialogues: int,
    rounds: int = 2,
) -> Race:
    """Plain and speculating in turn on the same dialogues; medians over the rounds."""
    eos = special_id(model.tokenizer, END)
    told = [dialogue(FIRST_DIALOGUE + seed, "heldout", turns=TURNS) for seed in range(dialogues)]
    sides: dict[str, list[SpeculationRun]] = {"plain": [], "always": [], "decided": []}
    costs = MeasuredCosts()
    for name in [*sides, *reversed(sides)] * ((rounds + 1) // 2):
        guessing = guesser.first(tree.depth) if isinstance(guesser, Heads) else guesser
        part, heads = TimedMethods(parts.medusa), TimedMethods(guessing)
        cost_model = costs if name == "decided" else None
        speculator = (
            None if name == "plain" else MedusaSpeculator(part, heads, tree, cost_model=cost_model)
        )
        engine = engine_for(model, parts, speculator, batch)
        tables = (Table(one, model) for one in told)
        sides[name].append(serve(engine, tables, batch, eos, part, heads))
    plain, clever = sides["plain"], sides["always"]
    first = clever[0]
    return Race(
        batch=batch,
        answers=len(first.texts),
        tokens_a_pass=first.decoded / first.passes,
        plain=median(run.decoded / run.decoding for run in plain),
        speculating=median(run.decoded / run.decoding for run in clever),
        gain=_ratio(plain, clever, "decoding"),
        gain_whole=_ratio(plain, clever, "seconds"),
        decided=_ratio(plain, sides["decided"], "seconds"),
        verdict=costs.verdict(batch),
        verifying=median(run.verifying / run.decoding for run in clever),
        part=median(run.part / run.decoding for run in clever),
        guessing=median(run.guessing / run.decoding for run in clever),
        wrong=_wrong(model, first, plain[0]) + _wrong(model, sides["decided"][0], plain[0]),
    )


def report(races: Sequence[Race], tree: TreeChoice) -> str:
    """The figures as a table for a terminal."""
    lines = [
        f"tree of {tree.nodes} nodes, {tree.depth} deep; expected {tree.expected:.2f} tokens a pass",
        "batch tokens/pass  plain tok/s  always on   gain  with prompts  decided  verify   part  heads  wrong",
    ]
    for each in races:
        speeds = f"{each.plain:>12.0f} {each.speculating:>10.0f} {each.gain:>5.2f}x"
        decided = f"{each.gain_whole:>12.2f}x {each.decided:>7.2f}x"
        shares = f"{each.verifying:>7.1%} {each.part:>6.1%} {each.guessing:>6.1%} {each.wrong:>6}"
        lines.append(f"{each.batch:>5} {each.tokens_a_pass:>11.2f} {speeds} {decided} {shares}")
    return "\n".join([*lines, *(each.verdict for each in races)])


def waiter_parts(part: Path | None = None) -> Parts:
    """The solutions, or another file's verification."""
    folder = Path(__file__).resolve().parents[2] / "solutions"
    files = part_files(folder) | ({"medusa": part} if part else {})
    return Parts(**{slot: load_part(path, slot) for slot, path in files.items()})


def _ratio(plain: Sequence[SpeculationRun], clever: Sequence[SpeculationRun], field: str) -> float:
    """The median, over rounds, of seconds a token of one side over the other's."""
    count = "decoded" if field == "decoding" else "tokens"
    slow, fast = (
        [getattr(run, field) / getattr(run, count) for run in side] for side in (plain, clever)
    )
    return float(median(before / after for before, after in zip(slow, fast, strict=True)))


def _wrong(model: Model, clever: SpeculationRun, plain: SpeculationRun) -> int:
    """Answers that differ from those of the plain side and are no greedy text either."""
    known = dict(plain.texts)
    different = [(prompt, output) for prompt, output in clever.texts if known.get(prompt) != output]
    return sum(oracle.replay(model, prompt, output) is not None for prompt, output in different)


def main() -> None:
    """The command line."""
    options = _arguments().parse_args()
    torch.set_num_threads(options.threads)
    model, parts = load_model(options.model), waiter_parts(options.using)
    heads: Heads = load_heads(HEADS, model)
    gc.collect()
    gc.freeze()  # else the collector walks through torch itself again and again
    tree = read_tree(HEADS)
    if options.sizes:
        for nodes, gain in best_size(model, parts, heads, tree, options.sizes).items():
            print(
                f"{nodes:>3} nodes: {tree.pruned(nodes).expected:.2f} tokens a pass expected, gain {gain:.2f}x",
                flush=True,
            )
        return
    tree = tree.pruned(options.nodes)
    races = [
        race(
            model,
            parts,
            heads,
            tree,
            batch,
            max(options.dialogues, batch + batch // 2),
            options.rounds,
        )
        for batch in options.batches
    ]
    print(report(races, tree))
    if options.write:
        (HEADS / FILE).write_text(
            json.dumps(_as_json(races, tree, options.threads), indent=2) + "\n"
        )


def _as_json(races: Sequence[Race], tree: TreeChoice, threads: int) -> dict[str, Any]:
    return {
        "races": [asdict(each) for each in races],
        "nodes": tree.nodes,
        "expected": tree.expected,
        "threads": threads,
        "machine": platform.machine(),
        "torch": torch.__version__,
        "date": datetime.now(UTC).date().isoformat(),
        "command": "python -m reference_engine.benchmarks.medusa --write",
    }


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Race the waiter with and without speculation.")
    parser.add_argument(
        "--model", default="waiter", help="or the waiter in a larger model's shape: waiter@50m"
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batches", type=int, nargs="+", default=list(BATCHES))
    parser.add_argument(
        "--dialogues",
        type=int,
        default=8,
        help="dialogues a batch of one has; more for larger ones",
    )
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument(
        "--nodes",
        type=int,
        default=CPU_NODES,
        help="the likeliest so many nodes of the stored tree",
    )
    parser.add_argument(
        "--using", type=Path, help="the file whose verification decides; the solution if left out"
    )
    parser.add_argument(
        "--sizes", type=int, nargs="+", help="only find out which of these tree sizes pays most"
    )
    parser.add_argument(
        "--write", action="store_true", help=f"store the figures as {FILE} beside the heads"
    )
    return parser


if __name__ == "__main__":
    main()
