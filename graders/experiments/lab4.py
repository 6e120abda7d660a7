"""Lab 4, guess and check: how often heads are right, what a pass yields, and what it costs at every
batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median

from graders.experiments.drafters import DRAFTERS, eagle_tree, medusa_chain, medusa_tree
from graders.experiments.drawn_requests import BLOCK_SIZE
from graders.experiments.results import Finished, Measurement
from graders.experiments.session import Task
from graders.experiments.workbench import LabPlan, Stopwatch, counted, purely_decoding, solved
from graders.workloads import workload
from reference_engine.engine import Engine
from reference_engine.medusa import HEADS
from reference_engine.medusa.heads import load_heads
from reference_engine.model import Model
from reference_engine.model_loader import load_model
from reference_engine.parts import Parts
from reference_engine.speculation import Speculator
from reference_engine.training.greedy_text import NONE, answers
from reference_engine.training.storage import load_network
from reference_engine.waiter import CHECKPOINT
from reference_engine.waiter.tokenizer import load_tokenizer

BATCHES, MORE_BATCHES = (1, 4, 16, 64), (1, 2, 4, 8, 16, 32, 64)
NODES, DEPTHS = (2, 3, 5, 8, 16), (1, 2, 3, 4)
ANSWER, TALKS, FIRST_TALK = 48, 4, 100_000
Make = Callable[[Model, Parts], Speculator | None]


def tasks(plan: LabPlan) -> list[Task]:
    """Everything that the lab measures."""
    usual = plan.models[0]
    first = [
        Task("heads", "how often each head is right", lambda: heads(plan)),
        Task("tokens", f"tokens a pass by depth and nodes, {usual}", lambda: yields(plan, usual)),
    ]
    speeds = [
        Task(
            f"speed:{model}",
            f"plain and guessing at several batches, {model}",
            partial(speed, plan, model),
        )
        for model in plan.models
    ]
    return [*first, *speeds]


# ---------------------------------------------------------------- heads


def heads(plan: LabPlan) -> Finished:
    """The share of places in held-out answers where a head's best guess is the token k+1 further
    on, and, beside it, where it is the very next one, which the LM head says."""
    network, tokenizer = load_network(CHECKPOINT), load_tokenizer(CHECKPOINT)
    guessing = load_heads(HEADS, load_model("waiter"))
    seeds = range(FIRST_TALK, FIRST_TALK + (8 if plan.quick else 40))
    text = answers(network, tokenizer, seeds, "heldout", guessing.count)
    best = guessing.guess((), text.hidden, 1)[:, :, 0]  # [P, H]
    inside = ~text.opens[1:]  # whose next token is the first target of the place before
    points = []
    for head in range(guessing.count):
        known = text.targets[:, head] != NONE
        right = (best[:, head] == text.targets[:, head])[known].float().mean()
        places = {"places": float(known.sum())}
        points.append(Measurement("heads", "t+1+k", head + 1.0, (float(right),), places))
        following = (best[1:, head] == text.targets[:-1, 0])[inside].float().mean()
        points.append(
            Measurement(
                "heads", "t+1", head + 1.0, (float(following),), {"places": float(inside.sum())}
            )
        )
    return Finished(tuple(points))


# ---------------------------------------------------------------- decoding


@dataclass(frozen=True, slots=True)
class Decoded:
    """Steps that only decode. passes: of single requests."""

    seconds: float
    tokens: int
    passes: int
    steps: int
    cores: float


def talks(count: int, seed: int) -> list[tuple[int, ...]]:
    """Prompts of so many guests, who ask at a few tables: a prefix cache reads each once."""
    few = [request.prompt for request in workload("predictable_talk_4", seed).requests[:TALKS]]
    return [few[number % len(few)] for number in range(count)]


def engine_of(
    model: Model, parts: Parts, speculator: Speculator | None, asked: Sequence[tuple[int, ...]]
) -> Engine:
    """With room for all of them at once, their prompts read and cached."""
    ahead = speculator.lookahead if speculator else 0
    each = -(-(max(map(len, asked)) + ANSWER + ahead + 1) // BLOCK_SIZE)
    room, budget = 1 + (len(asked) + TALKS) * each, max(512, len(asked) * (1 + ahead) + 256)
    engine = Engine(
        model,
        parts,
        num_blocks=room,
        max_seqs=len(asked),
        token_budget=budget,
        speculator=speculator,
    )
    for prompt in dict.fromkeys(asked):
        for _ in engine.stream(prompt, 1):
            continue
    return engine


def decoded(engine: Engine, asked: Sequence[tuple[int, ...]]) -> Decoded:
    """Answers to all of them at once."""
    for prompt in asked:
        engine.add(prompt, ANSWER)
    watch, tokens, passes, steps = Stopwatch(), 0, 0, 0
    while not engine.idle:
        before, step = counted(engine), Stopwatch()
        with step:
            events = engine.step()
        if purely_decoding(engine, before):
            watch.wall, watch.cpu = watch.wall + step.wall, watch.cpu + step.cpu
            tokens += sum(len(event.tokens) for event in events)
            passes, steps = passes + len(events), steps + 1
    return Decoded(watch.wall, tokens, passes, steps, watch.cores)


def yields(plan: LabPlan, name: str) -> Finished:
    """Tokens a pass, by the depth of a chain and by the nodes of a tree; counted, so that no clock
    takes part."""
    model, parts = load_model(name), solved(cache=True)
    asked = talks(8 if plan.quick else 32, plan.seed)
    chains: list[tuple[str, int, Make]] = [("chain", depth, _chain(depth)) for depth in DEPTHS]
    trees: list[tuple[str, int, Make]] = [("tree", nodes, _tree(nodes)) for nodes in NODES]
    trees += [("eagle", nodes, _grown(nodes)) for nodes in NODES]
    points = []
    for series, x, make in chains + trees:
        run = decoded(engine_of(model, parts, make(model, parts), asked), asked)
        points.append(Measurement("tokens a pass", series, float(x), (run.tokens / run.passes,)))
    return Finished(tuple(points))


def _chain(depth: int) -> Make:
    return lambda model, parts: medusa_chain(model, parts, depth)


def _tree(nodes: int) -> Make:
    return lambda model, parts: medusa_tree(model, parts, nodes)


def _grown(nodes: int) -> Make:
    return lambda model, parts: eagle_tree(model, parts, nodes)


class Contest:
    """Every drafter, in turn, on the same requests; the first round warms up."""

    def __init__(self, model: Model, parts: Parts, asked: Sequence[tuple[int, ...]]) -> None:
        self.asked, self._rounds = asked, 0
        made = {kind.name: kind.make(model, parts) for kind in DRAFTERS.values()}
        self._engines = {name: engine_of(model, parts, each, asked) for name, each in made.items()}
        self._runs = {name: list[Decoded]() for name in made}

    def round(self) -> None:
        """Once more each, and who was first is last."""
        for drafter in sorted(self._engines, reverse=bool(self._rounds % 2)):
            run = decoded(self._engines[drafter], self.asked)
            self._runs[drafter] += [run] * (self._rounds > 0)
        self._rounds += 1

    def points(self, model: str) -> list[Measurement]:
        """What each of them was."""
        return [
            _point(model, drafter, len(self.asked), runs) for drafter, runs in self._runs.items()
        ]


def speed(plan: LabPlan, name: str) -> Finished:
    """Tokens a second of every drafter that there is, in turn, at every batch.

    A request alone is timed between the rounds of the others too: what it takes is what the memory
    takes, and a machine that is shared reads its memory for some seconds faster than for the next.
    """
    model, parts = load_model(name), solved(cache=True)
    alone, points, rounds = (
        Contest(model, parts, talks(1, plan.seed)),
        list[Measurement](),
        plan.rounds(5),
    )
    for _ in range(1 + rounds):
        alone.round()
    for batch in _batches(plan, name)[1:]:
        together = Contest(model, parts, talks(batch, plan.seed))
        for _ in range(1 + rounds):
            together.round()
            alone.round()
        points += together.points(name)
    return Finished((*alone.points(name), *points))


def _batches(plan: LabPlan, name: str) -> tuple[int, ...]:
    """Of a quick lab the larger model is asked at few, as it takes its time."""
    if not plan.quick:
        return MORE_BATCHES
    return BATCHES if name == plan.models[0] else BATCHES[:3:2]


def _point(model: str, drafter: str, batch: int, runs: Sequence[Decoded]) -> Measurement:
    facts = {
        "tokens a pass": runs[0].tokens / runs[0].passes,
        "step": median(run.seconds / run.steps for run in runs),
    }
    rates = tuple(run.tokens / run.seconds for run in runs)
    return Measurement(
        f"speed:{model}", drafter, float(batch), rates, facts, median(run.cores for run in runs)
    )
