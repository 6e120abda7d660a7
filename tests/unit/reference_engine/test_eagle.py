"""The engine with EAGLE's layer says what the oracle says, each request with a tree of its own."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from reference_engine import oracle
from reference_engine.eagle import LAYER
from reference_engine.eagle.drafter import Drafter, LayerDrafter
from reference_engine.eagle.layer import WEIGHTS, EagleLayer, load_layer, save_layer
from reference_engine.eagle.level_costs import KEPT, GrownStep, LevelCosts
from reference_engine.eagle.speculator import EagleSpeculator
from reference_engine.engine import Engine
from reference_engine.llama.config import LlamaConfig
from reference_engine.model import Model, ModelError, random_model
from reference_engine.parts import PartError, Parts
from reference_engine.request_state import RequestState
from reference_engine.sampler import Sampling
from reference_engine.slots import Growth, Request
from reference_engine.speculation import Room
from reference_engine.training import evaluate_eagle
from reference_engine.training.network import Waiter
from reference_engine.training.train_eagle import guesses, lesson_of
from solutions.ex1_paged_allocation.block_manager import BlockManager
from solutions.ex2_batching_scheduler.scheduler import Scheduler
from solutions.ex3_prefix_cache.prefix_cache import PrefixCache
from solutions.ex4_medusa import medusa
from solutions.ex6_draft_tree import draft_tree

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
    tied=True,
)
MODELS = [random_model(SHAPE, seed) for seed in range(3)]
TREE = {"size": 6, "depth": 3, "width": 2, "guesses": 3}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def layer_of(model: Model, seed: int = 0) -> EagleLayer:
    """A layer with weights from a seed."""
    generator = torch.Generator().manual_seed(seed)
    weights = {
        name: torch.randn(shape, generator=generator)
        * (shape[-1] ** -0.5 if len(shape) > 1 else 1.0)
        for name, shape in EagleLayer.shapes(model.config).items()
    }
    embedding = model.weights["model.embed_tokens.weight"]
    return EagleLayer(weights, model.config, embedding, model.head)


class Prophet(LayerDrafter):
    """A layer beside which somebody knows the text: what it reads is the layer's, what it guesses
    is often true."""

    def __init__(
        self, layer: EagleLayer, texts: Sequence[Sequence[int]], chance: float, seed: int
    ) -> None:
        super().__init__(layer)
        self._texts, self._chance, self._dice = texts, chance, random.Random(seed)

    def begin(
        self, states: Sequence[RequestState], count: int, nodes: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        self._left = [[*self._texts[state.id][state.said :], *[0] * 9] for state in states]
        return self._tell(*super().begin(states, count, nodes))

    def further(self, chosen: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        return self._tell(*super().further(chosen, count))

    def _tell(self, tokens: torch.Tensor, logs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        for row, left in enumerate(self._left):
            if self._dice.random() < self._chance:
                tokens[row, :, self._dice.randrange(tokens.shape[2])] = left[0]
            del left[0]
        now = self._trees
        assert now is not None
        now.token[:, now.found - tokens[0].numel() : now.found] = tokens.flatten(1).numpy()
        return tokens, logs


def engine(model: Model, drafter: Drafter, trees: Any = draft_tree, **sizes: Any) -> Engine:
    """A roomy engine with everything on, unless `sizes` say otherwise."""
    tree = TREE | {
        name: sizes.pop(name) for name in ("size", "depth", "width", "guesses") if name in sizes
    }
    cache = sizes.pop("cache", PrefixCache)
    costs = {name: sizes.pop(name, None) for name in ("cost_model", "levels")}
    speculator = EagleSpeculator(medusa, trees, drafter, **costs, **tree)
    parts = Parts(BlockManager, Scheduler, cache, medusa)
    return Engine(
        model, parts, **({"num_blocks": 80, "block_size": 4} | sizes), speculator=speculator
    )


def random_run(seed: int) -> Engine:
    """One random engine with random greedy guests, judged by the oracle."""
    dice = random.Random(seed)
    model, menu = dice.choice(MODELS), [dice.randrange(VOCAB) for _ in range(12)]
    requests = []
    for id in range(dice.randint(1, 4)):
        prompt = menu[: dice.choice((0, 8, 12))] + [
            dice.randrange(VOCAB) for _ in range(dice.randint(1, 6))
        ]
        requests.append(
            Request(id, prompt, dice.randint(1, 12), dice.randrange(3), dice.choice((None, 7)))
        )
    due = [oracle.greedy(model, each.prompt, each.max_new, each.eos) for each in requests]
    size, block, layer = dice.choice((2, 4, 6)), dice.choice((1, 2, 4, 16)), layer_of(model, seed)
    if seed % 4 == 0:
        vars(layer)["compiled"] = None  # as on a machine without a compiler
    longest = max(len(each.prompt) + each.max_new for each in requests) + size
    served = engine(
        model,
        Prophet(layer, due, dice.choice((0.0, 0.7, 1.0)), seed),
        None if seed % 3 == 0 else draft_tree,
        size=size,
        num_blocks=1 + -(-longest // block) + dice.choice((0, 1, 3, 40)),
        block_size=block,
        max_seqs=dice.randint(1, 5),
        token_budget=size + dice.choice((0, 3, 20, 200)),
        chunk=dice.choice((None, 1, 3, 8)),
        cache=dice.choice((None, PrefixCache)),
    )
    for request, output, text in zip(requests, served.generate(requests), due, strict=True):
        if output != text:
            assert len(output) == len(text)
            assert oracle.replay(model, request.prompt, output) is None
    return served


@pytest.mark.parametrize("block", range(2))
def test_random_engines_say_what_the_oracle_says(block: int) -> None:
    runs = [random_run(seed) for seed in range(8 * block, 8 * block + 8)]
    assert sum(run.metrics.accepted for run in runs) > 0


def test_every_request_of_a_step_carries_a_tree_of_its_own() -> None:
    model = MODELS[0]
    served = engine(model, LayerDrafter(layer_of(model)), keep_trace=True)
    for prompt in ([1, 2, 3], [4, 5, 6, 7], [8, 9]):
        served.add(prompt, 6)
    while not served.idle:
        served.step()
    together = [record.trees for record in served.trace if len(record.trees) == 3]
    assert together
    assert any(len({tree.parents for tree in trees}) > 1 for trees in together)


def drafted(
    model: Model, layer: EagleLayer, requests: Sequence[Request], **sizes: Any
) -> list[Any]:
    """(id, tokens said before, guesses of the first level) of each tree that was begun."""
    seen: list[Any] = []

    class Watched(LayerDrafter):
        def begin(self, states: Sequence[RequestState], count: int, nodes: int) -> Any:
            told = super().begin(states, count, nodes)
            seen.extend(
                (state.id, state.said, told[0][row, 0].tolist()) for row, state in enumerate(states)
            )
            return told

    engine(model, Watched(layer), **sizes).generate(requests)
    return sorted(seen)


class Confident(LayerDrafter):
    """Keeps the logprobs of what it guessed."""

    def begin(self, *given: Any) -> Any:
        self.logs = [*getattr(self, "logs", []), super().begin(*given)]
        return self.logs[-1]

    def further(self, *given: Any) -> Any:
        self.logs.append(super().further(*given))
        return self.logs[-1]


def test_the_compiled_layer_guesses_what_torch_guesses() -> None:
    model, layers = MODELS[1], [layer_of(MODELS[1], 2) for _ in range(2)]
    vars(layers[1])["compiled"] = None
    drafters = [Confident(layer) for layer in layers]
    for drafter in drafters:
        engine(model, drafter, chunk=5).generate([Request(id, [4, 2, id], 9) for id in range(3)])
    ours, torchs = ([(tokens.tolist(), logs) for tokens, logs in each.logs] for each in drafters)
    assert [tokens for tokens, _ in ours] == [tokens for tokens, _ in torchs]
    for (_, one), (_, other) in zip(ours, torchs, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    "sizes", [{"chunk": 3}, {"num_blocks": 12}, {"block_size": 1, "num_blocks": 200}]
)
def test_what_it_guesses_hangs_on_the_text_alone(sizes: dict[str, Any]) -> None:
    """Not on chunks, borrowed prefixes, preempted neighbours or blocks: its keys are found where
    the engine's KV is."""
    model, menu = MODELS[1], list(range(1, 10))
    layer = layer_of(model, 5)
    requests = [Request(id, [*menu, id], 8) for id in range(3)]
    due = {}
    for each in requests:
        alone = drafted(model, layer, [Request(0, each.prompt, each.max_new)], cache=None)
        due |= {(each.id, said): tokens for _, said, tokens in alone}
    found = drafted(model, layer, requests, **sizes)
    assert found
    assert all(tokens == due[id, said] for id, said, tokens in found if (id, said) in due)


def test_guesses_are_those_that_it_was_trained_to_make() -> None:
    """The engine grows with keys in slots and ancestors in a mask what training unrolls in one go."""
    model, network = MODELS[2], Waiter(SHAPE)
    network.load_state_dict(dict(model.weights))
    layer, prompt = layer_of(model, 3), [3, 1, 4, 1, 5, 9, 2]
    text = [*prompt, *oracle.greedy(model, prompt, 6)]
    lesson = lesson_of(network, (text, [False] * len(prompt) + [True] * 6))
    assert lesson is not None
    due = [
        layer.logits(states)[0].topk(3).indices.tolist() for states, _ in guesses(layer, lesson, 3)
    ]
    chains: list[Any] = []

    class Teller(Prophet):
        """Guesses what comes, and keeps what the layer would have guessed."""

        def _tell(self, tokens: torch.Tensor, logs: torch.Tensor) -> Any:
            chains.append(tokens[0, 0].tolist())
            return super()._tell(tokens, logs)

    told = Teller(layer, [text[len(prompt) :]], 1.0, 0)
    told._dice = SimpleNamespace(random=lambda: 0.0, randrange=lambda count: 0)  # type: ignore[assignment]
    engine(model, told, size=4, width=1).generate([Request(0, prompt, 6)])
    assert chains[:3] == due


def test_the_model_card_says_what_was_measured_and_the_layer_beats_the_heads() -> None:
    figures = json.loads((LAYER / "figures.json").read_text())
    assert (LAYER / "README.md").read_text() == evaluate_eagle.card(LAYER)
    assert (LAYER / WEIGHTS).stat().st_size < 4e6
    for kind in ("trees", "talks"):
        for ours, medusas in zip(figures[f"eagle_{kind}"], figures[f"medusa_{kind}"], strict=True):
            assert ours > medusas + 0.6, kind


def test_a_layer_of_another_model_is_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"is missing"):
        load_layer(tmp_path, MODELS[0])
    save_layer(layer_of(MODELS[0]), tmp_path)
    assert load_layer(tmp_path, MODELS[0]).weights.keys() == EagleLayer.shapes(SHAPE).keys()
    with pytest.raises(ModelError, match=r"has no .*: it is of another model"):
        load_layer(tmp_path, random_model(replace(SHAPE, width=16, head_width=4), 0))


def test_it_runs_on_a_cpu_alone() -> None:
    model, room = SimpleNamespace(name="large", device=torch.device("cuda")), Room(4, 4, 1, 4)
    with pytest.raises(ValueError, match=r"on a CPU alone, and large is on cuda"):
        LayerDrafter(layer_of(MODELS[0])).attach(model, room)  # type: ignore[arg-type]


def test_drawn_text_is_what_it_would_be_without_guesses() -> None:
    """Each place has its die, and a guess stands where that draws it: so the distribution is kept,
    exactly."""
    model, prompts = MODELS[0], ([1, 2, 3], [5, 6], [7, 8, 9])
    rules = [Sampling(1.0, seed=4), Sampling(), Sampling(0.7, top_k=6, top_p=0.9, seed=8)]
    alone = Engine(model, num_blocks=40, block_size=4)
    due = [
        list(alone.stream(prompt, 20, rule)) for prompt, rule in zip(prompts, rules, strict=True)
    ]
    served = engine(model, Prophet(layer_of(model), due, 0.8, 1))
    said = {
        served.add(prompt, 20, rule): list[int]()
        for prompt, rule in zip(prompts, rules, strict=True)
    }
    while not served.idle:
        for event in served.step():
            said[event.id] += event.tokens
    assert list(said.values()) == due
    assert served.metrics.accepted > 10


def test_a_level_pays_where_it_yields_more_in_its_time_than_the_steps_do() -> None:
    costs = LevelCosts()
    assert costs.due(1) == 0.0, "nothing is known yet"
    for _ in range(8):
        # 0.1 s a level, 5 tokens a second
        costs.note(1, GrownStep(seconds=1.0, levels=4, growing=0.4, tokens=5))
    assert costs.due(1) == pytest.approx(0.5)
    for _ in range(KEPT):
        costs.note(1, GrownStep(seconds=1.0, levels=4, growing=0.8, tokens=5))
    assert costs.due(1) == pytest.approx(1.0), "what is long ago is forgotten"
    assert costs.due(2) == 0.0, "of two requests nothing is known"


class Dear(LevelCosts):
    """Levels pay that yield more than this."""

    def __init__(self, price: float) -> None:
        super().__init__()
        self._price = price

    def due(self, batch: int) -> float:
        return self._price


def grown(
    model: Model,
    layer: EagleLayer,
    trees: Any,
    levels: LevelCosts | None,
    text: list[int],
    size: int = 8,
) -> list[Any]:
    """Of every step of three requests: the levels that grew, the trees that were verified, and who
    saw whom in them."""
    served = engine(
        model,
        LayerDrafter(layer),
        trees,
        keep_trace=True,
        levels=levels,
        size=size,
        depth=5,
        width=3,
    )
    for start in range(3):
        served.add(text[start : 2 * start + 3], 9)
    seen = list[Any]()
    while not served.idle:
        served.step()
        growth, mask = served._speculator.grown, served._speculator.mask  # type: ignore[union-attr]
        told = [(tree.id, tree.parents, tree.tokens) for tree in served.trace[-1].trees]
        told += [mask.tolist()] if told else []
        seen.append(
            (
                growth and (growth.parent.tolist(), growth.depth.tolist(), growth.value.tolist()),
                told,
            )
        )
    return seen


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("twins", [True, False])
def test_the_layer_grows_the_trees_that_the_part_grows(compiled: bool, twins: bool) -> None:
    """Ties too: of twins one is as likely as the other."""
    model, layer = MODELS[0], layer_of(MODELS[0], 3)
    if twins:
        layer = replace(layer, head=torch.cat((layer.head[: VOCAB // 2], layer.head[: VOCAB // 2])))
    if not compiled:
        vars(layer)["compiled"] = None
    for levels in (None, Dear(0.05), Dear(0.3)):
        ours, parts = (
            grown(model, layer, trees, levels, [3, 1, 4, 1, 5, 9, 2, 6])
            for trees in (None, draft_tree)
        )
        assert ours == parts
        assert any(told for _, told in ours)


def test_a_tree_grows_as_far_as_pays_and_what_could_not_be_kept_does_not_grow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, layer, text = MODELS[0], layer_of(MODELS[0]), [2, 7, 1, 8, 2, 8, 1, 8]
    runs = [grown(model, layer, trees, None, text, 4) for trees in (None, draft_tree)]
    runs.append(grown(model, layer, None, Dear(99.0), text, 4))
    monkeypatch.setattr(
        EagleSpeculator, "_gain", lambda self, growth, chosen: (1.0, chosen.shape[1])
    )
    runs.append(grown(model, layer, draft_tree, None, text, 4))
    ours, parts, dear, whole = runs
    assert [told for _, told in ours] == [told for _, told in parts] == [told for _, told in whole]
    sizes = [
        sum(len(growth[0][0]) for growth, _ in steps if growth is not None)
        for steps in (dear, ours, whole)
    ]
    assert sizes == sorted(set(sizes))


def test_the_steps_that_read_prompts_do_not_tell_what_steps_without_trees_take() -> None:
    class Noting:
        """Trees always pay."""

        def __init__(self) -> None:
            self.noted = list[Any]()

        def worth(self, batch: int) -> bool:
            return True

        def verdict(self, batch: int) -> str:
            return "on"

        def note(self, spent: Any) -> None:
            self.noted.append(spent.trees)

        def pass_over(self, batch: int) -> None:
            self.noted.append(None)

    costs, model = Noting(), MODELS[0]
    served = engine(model, LayerDrafter(layer_of(model)), cost_model=costs)
    served.generate([Request(0, [1, 2, 3], 9)])
    assert costs.noted[0] is None and set(costs.noted[1:]) == {1}


def test_samples_of_one_prompt_and_rests_between_guesses_cost_no_token() -> None:
    class OnAndOff:
        """Guesses pay in every third step."""

        steps = 0

        def worth(self, batch: int) -> bool:
            self.steps += 1
            return self.steps % 3 == 0

        def verdict(self, batch: int) -> str:
            return "now and then"

        def note(self, spent: object) -> None: ...

        def pass_over(self, batch: int) -> None: ...

    model, prompt = MODELS[0], list(range(1, 15))
    due = oracle.greedy(model, prompt, 16)
    served = engine(
        model,
        Prophet(layer_of(model), [due] * 9, 1.0, 0),
        cost_model=OnAndOff(),
        levels=LevelCosts(),
    )
    served.add(prompt, 16, n=3)
    said: dict[tuple[int, int], list[int]] = {}
    while not served.idle:
        for event in served.step():
            said.setdefault((event.id, getattr(event, "index", 0)), []).extend(event.tokens)
    assert all(text == due for text in said.values())
    assert served.metrics.accepted > 0


@pytest.mark.parametrize(
    ("name", "wrong", "message"),
    [
        (
            "frontier",
            lambda growth, depth, width: torch.full((len(growth.token), width), 99),
            "candidates",
        ),
        ("frontier", lambda growth, depth, width: [[0]], "no int64 tensor"),
        ("rerank", lambda growth, root, size: None, "no token of shape"),
        (
            "rerank",
            lambda growth, root, size: replace(
                draft_tree.rerank(growth, root, size), parent=torch.full((1, size), 9)
            ),
            "no such tree",
        ),
        ("grow", lambda *given: Growth(None, None, None, None), "frontier\\(\\) raised"),  # type: ignore[arg-type]
    ],
)
def test_a_part_that_grows_nonsense_is_named(name: str, wrong: Any, message: str) -> None:
    functions = {each: getattr(draft_tree, each) for each in ("grow", "frontier", "rerank")}
    trees = SimpleNamespace(**functions | {name: wrong})
    with pytest.raises(PartError, match=message) as caught:
        engine(MODELS[0], LayerDrafter(layer_of(MODELS[0])), trees).generate(
            [Request(0, [1, 2, 3], 6)]
        )
    assert caught.value.slot == "draft_tree"
