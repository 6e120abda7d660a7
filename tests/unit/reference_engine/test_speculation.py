"""The engine with Medusa says what the oracle says, for any heads, tree, batch, pool and chunk."""

from __future__ import annotations

import itertools
import json
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from reference_engine import oracle
from reference_engine.engine import Engine
from reference_engine.llama.config import LlamaConfig
from reference_engine.medusa import HEADS
from reference_engine.medusa.break_even import BreakEven, Cost
from reference_engine.medusa.cost_model import MeasuredCosts, StepCost
from reference_engine.medusa.heads import Guesser, RequestProgress, random_heads
from reference_engine.medusa.speculator import MedusaSpeculator
from reference_engine.medusa.tree_search import TreeChoice
from reference_engine.model import Model, random_model
from reference_engine.parts import PartError, Parts
from reference_engine.sampler import Sampling
from reference_engine.slots import Request, Tree, Verdict
from solutions.ex1_paged_allocation.block_manager import BlockManager
from solutions.ex2_batching_scheduler.scheduler import Scheduler
from solutions.ex3_prefix_cache.prefix_cache import PrefixCache
from solutions.ex4_medusa import medusa

VOCAB, POSITIONS = 40, 96
SHAPE = LlamaConfig(
    vocab=VOCAB,
    width=32,
    layers=2,
    heads=4,
    kv_heads=2,
    head_width=8,
    inner=48,
    positions=POSITIONS,
)
MODELS = [random_model(SHAPE, seed) for seed in range(4)]
KINDS = ("perfect", "mixed", "useless", "late", "zero", "random")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Prophet:
    """Heads that know the text and tell it as `kind` says."""

    def __init__(
        self, texts: Sequence[Sequence[int]], heads: int, kind: str, seed: int = 0
    ) -> None:
        self.texts, self.heads, self.kind = texts, heads, kind
        self.dice = random.Random(seed)
        self.said: dict[int, int] = {}

    def guess(self, told: Sequence[RequestProgress], hidden: Tensor, count: int) -> Tensor:
        rows = []
        for one in told:
            self.said[one.id] = self.said.get(one.id, 0) + len(one.tokens)
            at = self.said[one.id] - (self.kind == "late")
            truth = [*self.texts[one.id][at : at + self.heads], *[0] * self.heads][: self.heads]
            rows.append([self._guesses(token, count) for token in truth])
        return torch.tensor(rows)

    def forget(self, id: int) -> None:
        self.said.pop(id, None)

    def _guesses(self, truth: int, count: int) -> list[int]:
        wrong = [(truth + self.dice.randrange(1, VOCAB)) % VOCAB for _ in range(count)]
        if self.kind == "zero":
            return [0] * count
        if self.kind in ("perfect", "late"):
            wrong[0] = truth
        elif self.kind == "mixed" and self.dice.random() < 0.7:
            wrong[self.dice.randrange(count)] = truth
        return wrong


def tree_of(*paths: tuple[int, ...]) -> TreeChoice:
    """The tree of these paths and their beginnings."""
    every = sorted(
        {path[:depth] for path in paths for depth in range(1, len(path) + 1)},
        key=lambda p: (len(p), p),
    )
    return TreeChoice(tuple(every), (0.1,) * len(every))


CHAIN = tree_of((0, 0, 0))
BUSHY = tree_of((0, 0, 0), (0, 1), (1, 0), (2,))


def engine(
    model: Model, guesser: Guesser, tree: TreeChoice, part: Any = medusa, **sizes: Any
) -> Engine:
    """A roomy engine with everything on, unless `sizes` say otherwise."""
    cost_model, cache = sizes.pop("cost_model", None), sizes.pop("cache", PrefixCache)
    speculator = MedusaSpeculator(part, guesser, tree, cost_model=cost_model)
    parts = Parts(BlockManager, Scheduler, cache, part)
    return Engine(
        model, parts, **({"num_blocks": 80, "block_size": 4} | sizes), speculator=speculator
    )


def texts_of(model: Model, requests: Sequence[Request]) -> list[list[int]]:
    return [oracle.greedy(model, each.prompt, each.max_new, each.eos) for each in requests]


def assert_greedy(
    model: Model,
    requests: Sequence[Request],
    outputs: Sequence[list[int]],
    due: Sequence[list[int]],
) -> None:
    for request, output, text in zip(requests, outputs, due, strict=True):
        if output != text:
            assert len(output) == len(text)
            assert oracle.replay(model, request.prompt, output) is None


def random_run(seed: int) -> Engine:
    """One random engine with random guests, judged."""
    dice = random.Random(seed)
    model, kind = dice.choice(MODELS), dice.choice(KINDS)
    menu = [dice.randrange(VOCAB) for _ in range(12)]
    requests = []
    for id in range(dice.randint(1, 4)):
        prompt = menu[: dice.choice((0, 8, 12))] + [
            dice.randrange(VOCAB) for _ in range(dice.randint(1, 6))
        ]
        eos = dice.choice((None, dice.randrange(VOCAB)))
        requests.append(Request(id, prompt, dice.randint(1, 9), dice.randrange(3), eos))
    due = texts_of(model, requests)
    deep = dice.randint(1, 4)
    tree = tree_of(
        *(
            tuple(dice.randrange(3) for _ in range(dice.randint(1, deep)))
            for _ in range(dice.randint(1, 7))
        )
    )
    heads = (
        random_heads(model, tree.depth, seed)
        if kind == "random"
        else Prophet(due, tree.depth, kind, seed)
    )
    size, ahead = dice.choice((1, 2, 4, 16)), tree.nodes - 1
    longest = max(len(each.prompt) + each.max_new for each in requests)
    served = engine(
        model,
        heads,
        tree,
        num_blocks=1 + -(-(longest + ahead) // size) + dice.choice((0, 1, 3, 40)),
        block_size=size,
        max_seqs=dice.randint(1, 5),
        token_budget=1 + ahead + dice.choice((0, 3, 20, 200)),
        chunk=dice.choice((None, 1, 3, 8)),
        policy=dice.choice(("fcfs", "priority")),
        cache=dice.choice((None, PrefixCache)),
    )
    assert_greedy(model, requests, served.generate(requests), due)
    return served


@pytest.mark.parametrize("block", range(10))
def test_three_hundred_random_engines_say_what_the_oracle_says(block: int) -> None:
    runs = [random_run(seed) for seed in range(30 * block, 30 * block + 30)]
    assert sum(run.metrics.accepted for run in runs) > 0
    assert sum(run.metrics.preemptions for run in runs) > 0


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("kind", ["perfect", "mixed", "useless"])
def test_samples_of_one_prompt_are_guessed_like_requests_alone(kind: str, seed: int) -> None:
    dice = random.Random(seed)
    model, prompt, n, max_new = (
        MODELS[seed % 4],
        dice.choices(range(VOCAB), k=dice.randint(1, 14)),
        4,
        12,
    )
    due = oracle.greedy(model, prompt, max_new)
    ahead, size = BUSHY.nodes - 1, dice.choice((1, 2, 4, 16))
    blocks = 1 + -(-(len(prompt) + max_new + ahead) // size) + dice.choice((0, 1, 3, 40))
    sizes = {
        "num_blocks": blocks,
        "block_size": size,
        "max_seqs": 3,
        "chunk": dice.choice((None, 3)),
    }
    served = engine(model, Prophet([due] * n, BUSHY.depth, kind, seed), BUSHY, **sizes)
    served.add(prompt, max_new, n=n)
    said: dict[int, list[int]] = {id: [] for id in range(n)}
    while not served.idle:
        for event in served.step():
            said[event.id] += event.tokens
    asked = [Request(id, prompt, max_new) for id in range(n)]
    assert_greedy(model, asked, list(said.values()), [due] * n)
    assert served.load().kv_usage == 0


@pytest.mark.slow
@pytest.mark.parametrize("block", range(50))
def test_two_thousand_more(block: int) -> None:
    for seed in range(1000 + 40 * block, 1040 + 40 * block):
        random_run(seed)


@pytest.mark.parametrize(("kind", "passes"), [("perfect", 5), ("useless", 19)])
def test_passes_by_the_quality_of_heads(kind: str, passes: int) -> None:
    requests = [Request(0, [1, 2, 3], 20)]
    due = texts_of(MODELS[0], requests)
    served = engine(MODELS[0], Prophet(due, 3, kind), CHAIN)
    assert served.generate(requests) == due
    assert served.metrics.steps == 1 + passes
    assert served.metrics.accepted == 19 - passes


@pytest.mark.parametrize("cut", range(1, 12))
def test_eos_and_max_new_cut_inside_an_accepted_path(cut: int) -> None:
    text = oracle.greedy(MODELS[1], [5, 9], 12)
    for request in (Request(0, [5, 9], cut), Request(0, [5, 9], 12, eos=text[cut - 1])):
        (due,) = texts_of(MODELS[1], [request])
        served = engine(MODELS[1], Prophet([text], 3, "perfect"), CHAIN)
        assert served.generate([request]) == [due]


def test_only_verified_tokens_enter_the_prefix_cache() -> None:
    """Guesses fill whole blocks here; a block that holds one must not be found by its tokens."""
    prompt = [7, 3, 11]
    text = oracle.greedy(MODELS[2], prompt, 9)
    again = [*prompt, *text[:5]]
    due = oracle.greedy(MODELS[2], again, 6)
    first = engine(
        MODELS[2], Prophet([text, due], 3, "mixed", seed=2), BUSHY, block_size=1, num_blocks=64
    )
    assert first.generate([Request(0, prompt, 9)]) == [text]
    tokens = [*prompt, *text]
    assert first.kv.lookup([*tokens, 0]) == len(tokens) - 1
    for rejected in range(VOCAB):
        if rejected != text[-1]:
            assert first.kv.lookup([*tokens[:-1], rejected, 0]) == len(tokens) - 1
    assert first.generate([Request(1, again, 6)])[0] == due


def test_guesses_beyond_the_context_are_harmless() -> None:
    request = Request(0, [1 + place % 30 for place in range(80)], POSITIONS - 80)
    due = texts_of(MODELS[3], [request])
    assert engine(MODELS[3], Prophet(due, 3, "mixed"), BUSHY).generate([request]) == due


def test_preempted_guests_resume_and_say_the_same() -> None:
    requests = [Request(id, [id, id + 1, id + 2], 14) for id in range(4)]
    due = texts_of(MODELS[0], requests)
    served = engine(
        MODELS[0], Prophet(due, 3, "mixed"), BUSHY, num_blocks=14, block_size=4, cache=None
    )
    assert served.generate(requests) == due
    assert served.metrics.preemptions > 0


@pytest.mark.parametrize("kind", ["perfect", "mixed", "useless"])
def test_drawn_text_is_what_it_would_be_without_guesses(kind: str) -> None:
    """Each place has its die, and a guess stands where that draws it: so the distribution is kept,
    exactly."""
    rules = [
        Sampling(),
        Sampling(0.8, seed=4),
        Sampling(1.0, top_k=5, seed=5),
        Sampling(1.3, top_p=0.9),
    ]

    def outputs(served: Engine) -> list[list[int]]:
        said: dict[int, list[int]] = {
            served.add([2 * n + 1, 2 * n + 2], 24, rule): [] for n, rule in enumerate(rules)
        }
        while not served.idle:
            for event in served.step():
                said[event.id] += event.tokens
        return list(said.values())

    due = outputs(plain(MODELS[0]))
    served = engine(MODELS[0], Prophet(due, 3, kind), BUSHY, max_seqs=3)
    assert outputs(served) == due
    assert (served.metrics.accepted > 0) == (kind != "useless")


def test_while_nobody_may_be_guessed_for_nothing_is_shown_and_nothing_forgotten() -> None:
    greedy, told = Request(0, [1, 2], 8), Sampling(scores=1)
    served = engine(MODELS[0], Prophet([*texts_of(MODELS[0], [greedy]), []], 3, "perfect"), CHAIN)
    speculator = served._speculator
    assert isinstance(speculator, MedusaSpeculator)
    served.add(greedy.prompt, greedy.max_new)
    served.add([3, 4], 20, told)
    while len(served._requests) == 2:
        served.step()
    assert speculator.passes, "the last pass of the greedy guest"
    served.step()
    assert speculator.passes == () and speculator.resting
    speculator._guessed = {7: 0}
    assert speculator.draft([], ()) == {} and speculator._guessed == {7: 0}


def test_the_trace_tells_the_guesses_what_stood_and_where_its_kv_went() -> None:
    request = Request(0, [1, 2], 8)
    served = engine(
        MODELS[0], Prophet(texts_of(MODELS[0], [request]), 3, "perfect"), BUSHY, keep_trace=True
    )
    served.generate([request])
    trees = [(record, tree) for record in served.trace for tree in record.trees]
    assert trees
    for record, tree in trees:
        assert tree.parents == (-1, 0, 0, 0, 1, 1, 2, 4)[: len(tree.tokens)]
        (seat,) = record.seats
        said = [*(tree.tokens[node] for node in tree.walk[1:]), tree.next]
        assert tuple(said[: len(record.emitted[0][1])]) == record.emitted[0][1]
        assert {slot // 4 for slot in tree.slots} <= set(seat.table)
        assert {end for move in tree.moves for end in move} <= set(tree.slots)


def plain(model: Model) -> Engine:
    return Engine(model, Parts(BlockManager, Scheduler, PrefixCache), num_blocks=80, block_size=4)


def test_speculation_is_off_where_the_cost_model_says_that_it_loses() -> None:
    cost_model = BreakEven(2.0, (Cost(1, 1.0, 1.5), Cost(2, 1.0, 1.9), Cost(3, 1.0, 2.5)))
    requests = [Request(id, [id, 5], 4 + 6 * id) for id in range(3)]
    due = texts_of(MODELS[0], requests)
    served = engine(MODELS[0], Prophet(due, 3, "perfect"), CHAIN, cost_model=cost_model)
    for request in requests:
        served.add(request.prompt, request.max_new)
    drafting = []
    while not served.idle:
        before = served.metrics.guessed
        running = len(served.step())
        drafting.append((running, served.metrics.guessed > before))
    assert all(running < 3 for running, drafted in drafting if drafted)
    assert any(drafted for _, drafted in drafting)
    speculator = MedusaSpeculator(medusa, Prophet(due, 3, "perfect"), CHAIN, cost_model=cost_model)
    assert "speculation is off" in speculator.verdict(
        3
    ) and "speculation is on" in speculator.verdict(1)


def step(batch: int, drafted: bool, seconds: float, *, read: int = 0, each: int = 3) -> StepCost:
    """One in which `read` tokens of prompts are read besides, and a tree of 5 nodes yields `each`
    tokens."""
    trees = batch * drafted
    return StepCost(seconds, batch + 4 * trees + read, batch, trees, 5, each * trees)


def test_measured_costs_try_both_kinds_keep_the_better_and_look_again() -> None:
    measured, drafted, costs = MeasuredCosts(), list[bool](), {True: 2.0, False: 1.0}
    assert "not measured" in measured.verdict(8) and measured.gain(8) is None
    for _ in range(400):
        drafted.append(measured.worth(8))
        measured.note(step(8, drafted[-1], costs[drafted[-1]]))
    trial = 16 // 8 + 8
    assert drafted[: 2 * trial] == [True] * trial + [False] * trial
    assert measured.gain(8) == pytest.approx(
        1.5
    ) and "speculation is on (gain 1.50)" in measured.verdict(8)
    # one step in eleven or so is a trial of the other kind
    assert sum(drafted[2 * trial :]) == 380 - 3 * trial
    costs[True] = 4.0
    for _ in range(400):
        drafted.append(measured.worth(8))
        measured.note(step(8, drafted[-1], costs[drafted[-1]]))
    # sizes of batch up to a power of two count together
    assert "speculation is off" in measured.verdict(5)
    assert sum(drafted[-300:]) < 24
    assert measured.worth(9) and "not measured" in measured.verdict(9)


def test_measured_costs_look_ever_more_seldom_and_often_again_after_a_change_of_mind() -> None:
    measured, drafted, costs = MeasuredCosts(), list[bool](), {True: 4.0, False: 1.0}
    for _ in range(6000):
        drafted.append(measured.worth(8))
        measured.note(step(8, drafted[-1], costs[drafted[-1]]))
    waits = [len(list(same)) // 10 for kind, same in itertools.groupby(drafted) if not kind]
    assert waits[:6] == [20, 20, 20, 20, 40, 80], (
        "a tree step loses a plain step: one in twenty may be lost"
    )
    costs[True] = 2.0
    while not measured.worth(8) or (measured.gain(8) or 0) < 1:
        measured.note(step(8, measured.worth(8), costs[measured.worth(8)]))
    kinds = []
    while not kinds or kinds[-1]:
        measured.note(step(8, measured.worth(8), costs[measured.worth(8)]))
        kinds.append(measured.worth(8))
    assert len(kinds) <= 10 * 10


@pytest.mark.parametrize(
    ("fixed", "row", "tree"), [(1.0, 0.0, 0.0), (1.0, 0.1, 0.05), (0.1, 0.1, 0.02), (0.0, 0.1, 0.0)]
)
def test_measured_costs_find_the_cost_of_a_tree_though_every_step_reads_prompts(
    fixed: float, row: float, tree: float
) -> None:
    measured, chance = MeasuredCosts(), random.Random(7)
    for _ in range(40):
        drafted = measured.worth(64)
        told = step(64, drafted, 1.0, read=chance.randrange(20, 200))
        seconds = (fixed + row * told.rows + tree * told.trees) * chance.choice(
            (1.0, 1.0, 1.02, 1.3)
        )
        measured.note(replace(told, seconds=seconds))
    due = 3 * (fixed + row * 64) / (fixed + row * 64 * 5 + tree * 64)
    gain = measured.gain(64)
    assert gain == pytest.approx(due, rel=0.2)
    assert measured.worth(64) is (due > 1)


def test_a_cost_model_is_told_of_the_last_pass_of_an_answer_too() -> None:
    told, requests = list[StepCost](), [Request(0, [1, 5], 12)]
    cost_model = SimpleNamespace(worth=lambda _: True, note=told.append, pass_over=lambda _: None)
    served = engine(
        MODELS[0],
        Prophet(texts_of(MODELS[0], requests), 3, "perfect"),
        CHAIN,
        cost_model=cost_model,
    )
    [said] = served.generate(requests)
    # the first was said where the prompt was read
    assert sum(one.kept for one in told) == len(said) - 1 == 11
    assert told[-1].kept < told[0].kept == 4


def test_speculation_that_measures_itself_says_the_same_and_stops_where_it_loses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    requests = [Request(id, [id, 5], 60) for id in range(4)]
    due, measured = texts_of(MODELS[0], requests), MeasuredCosts()
    served = engine(MODELS[0], Prophet(due, 3, "useless"), CHAIN, cost_model=measured)
    # every step takes as long as every other, so useless guesses can only lose
    clock = itertools.count()
    monkeypatch.setattr(
        "reference_engine.engine.time", SimpleNamespace(perf_counter=lambda: float(next(clock)))
    )
    assert served.generate(requests) == due
    assert "speculation is off" in measured.verdict(4) or "(gain 1.00)" in measured.verdict(4)
    assert 0 < served.metrics.guessed < 4 * 3 * 20


# ---------------------------------------------------------------- parts that break their contract


def broken(**functions: Any) -> SimpleNamespace:
    names = ("build_tree", "propose", "verify_greedy", "verify_typical", "compact")
    return SimpleNamespace(**({name: getattr(medusa, name) for name in names} | functions))


def raising(*_: object) -> None:
    raise RuntimeError("burnt")


def no_verdict(tree: object, tokens: Tensor, argmax: Tensor) -> Verdict:
    return Verdict(torch.zeros(1), torch.zeros(1), torch.zeros(1))


def no_path(tree: object, tokens: Tensor, argmax: Tensor) -> Verdict:
    judged = medusa.verify_greedy(tree, tokens, argmax)  # type: ignore[arg-type]
    return Verdict(judged.count + 1, judged.nodes, judged.next)


def unknown_words(tree: Tree, root: Tensor, topk: Tensor) -> Tensor:
    return torch.full((len(root), len(tree.parent)), 99)


def unknown_next(tree: Tree, tokens: Tensor, argmax: Tensor) -> Verdict:
    judged = medusa.verify_greedy(tree, tokens, argmax)
    return Verdict(judged.count, judged.nodes, torch.full_like(judged.next, -1))


def foreign_slots(verdict: Verdict, slots: Tensor) -> tuple[Tensor, Tensor]:
    return slots[:, 0] + 1000, slots[:, 0]


@pytest.mark.parametrize(
    ("functions", "sentence"),
    [
        (
            {"propose": unknown_words},
            f"propose() returned tokens [99, 99, 99, 99]: the vocabulary has {VOCAB}",
        ),
        (
            {"verify_greedy": unknown_next},
            f"verify_greedy() returned tokens [-1]: the vocabulary has {VOCAB}",
        ),
        (
            {"verify_greedy": lambda tree, tokens, argmax: None},
            "verify_greedy() returned NoneType where",
        ),
        ({"propose": raising}, "propose() raised RuntimeError: burnt"),
        (
            {"propose": lambda tree, root, topk: root},
            "propose() returned [1] where integers [1, 4] are due",
        ),
        ({"verify_greedy": no_verdict}, "verify_greedy() returned"),
        ({"verify_greedy": no_path}, "no path of the tree"),
        ({"compact": foreign_slots}, "which holds no node of this step"),
        ({"compact": lambda verdict, slots: None}, "compact() returned no pair of tensors"),
    ],
)
def test_a_part_that_breaks_its_contract_is_named(functions: dict[str, Any], sentence: str) -> None:
    served = engine(MODELS[0], Prophet([[0] * 9], 3, "useless"), CHAIN, broken(**functions))
    with pytest.raises(PartError) as caught:
        served.generate([Request(0, [1, 2], 8)])
    assert caught.value.slot == "medusa"
    assert sentence in caught.value.sentence


def test_a_part_that_shrinks_the_mask_of_its_tree_shrinks_its_own() -> None:
    def shrink(tree: Tree, tokens: Tensor, argmax: Tensor) -> Verdict:
        judged = medusa.verify_greedy(tree, tokens, argmax)
        tree.mask.resize_(1, 1)
        return judged

    requests = [Request(0, [1, 2], 12)]
    due = texts_of(MODELS[0], requests)
    assert (
        engine(MODELS[0], Prophet(due, 3, "mixed"), CHAIN, broken(verify_greedy=shrink)).generate(
            requests
        )
        == due
    )


def test_a_tree_that_is_none_is_refused_at_once() -> None:
    with pytest.raises(PartError, match="build_tree"):
        engine(
            MODELS[0], Prophet([[0]], 3, "useless"), CHAIN, broken(build_tree=lambda choices: None)
        )


def test_what_the_readme_says_of_speed_is_what_was_measured() -> None:
    root = Path(__file__).resolve().parents[3]
    races = {
        race["batch"]: race for race in json.loads((HEADS / "speed.json").read_text())["races"]
    }
    words = " ".join((root / "README.md").read_text(encoding="utf-8").split())
    decoding = re.search(
        r"only decodes, it has ([\d.]+) times the plain speed at batch 1 and ([\d.]+) at batch 64",
        words,
    )
    whole = re.search(r"prompts included it has ([\d.]+) to ([\d.]+)\.", words)
    passes = re.search(r"at ([\d.]+) to ([\d.]+) tokens a pass", words)
    assert decoding and whole and passes
    assert decoding.groups() == (f"{races[1]['gain']:.1f}", f"{races[64]['gain']:.1f}")
    for found, field in ((whole, "gain_whole"), (passes, "tokens_a_pass")):
        every = [race[field] for race in races.values()]
        assert found.groups() == (f"{min(every):.1f}", f"{max(every):.1f}")
