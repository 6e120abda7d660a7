"""The engine with a draft model: greedy text is the oracle's, drawn text is distributed as without,
in fewer passes."""

from __future__ import annotations

import json
import random
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from graders.exercises.ex5_speculative_sampling.distribution import chi_square, limit
from graders.exercises.ex5_speculative_sampling.specification import Rule, spread
from reference_engine import oracle
from reference_engine.drafting import draft_for
from reference_engine.drafting.speculator import DraftSpeculator
from reference_engine.engine import Engine
from reference_engine.llama.config import LlamaConfig
from reference_engine.medusa.cost_model import StepCost
from reference_engine.model import Model, random_model
from reference_engine.model_loader import load_model
from reference_engine.parts import PartError, Parts
from reference_engine.sampler import Sampling
from reference_engine.slots import Accepted, Request
from reference_engine.training import train_draft
from reference_engine.waiter import CHECKPOINT, DRAFT
from solutions.ex1_paged_allocation.block_manager import BlockManager
from solutions.ex2_batching_scheduler.scheduler import Scheduler
from solutions.ex3_prefix_cache.prefix_cache import PrefixCache
from solutions.ex5_speculative_sampling import speculative_sampling

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
SMALL = replace(SHAPE, width=16, layers=1, heads=2, kv_heads=1, inner=32)
MODELS = [random_model(SHAPE, seed) for seed in range(3)]
STRANGER = random_model(SMALL, 7)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def engine(model: Model, draft: Model, part: Any = speculative_sampling, **sizes: Any) -> Engine:
    """A roomy engine with everything on, unless `sizes` say otherwise."""
    cost_model, cache, guesses = (sizes.pop(name, default) for name, default in _OWN.items())
    speculator = DraftSpeculator(part, draft, guesses=guesses, cost_model=cost_model)
    parts = Parts(BlockManager, Scheduler, cache, speculative_sampling=part)
    return Engine(
        model, parts, **({"num_blocks": 80, "block_size": 4} | sizes), speculator=speculator
    )


_OWN: dict[str, Any] = {"cost_model": None, "cache": PrefixCache, "guesses": 3}


def random_run(seed: int) -> Engine:
    """One random engine with random greedy guests, some of one prompt, judged by the oracle."""
    dice = random.Random(seed)
    model, draft = dice.choice(MODELS), dice.choice([*MODELS, STRANGER])
    menu = [dice.randrange(VOCAB) for _ in range(12)]
    requests = []
    for id in range(dice.randint(1, 4)):
        prompt = menu[: dice.choice((0, 8, 12))] + [
            dice.randrange(VOCAB) for _ in range(dice.randint(1, 6))
        ]
        eos = dice.choice((None, dice.randrange(VOCAB)))
        requests.append(Request(id, prompt, dice.randint(1, 9), dice.randrange(3), eos))
    size, ahead = dice.choice((1, 2, 4, 16)), dice.randint(1, 4)
    longest = max(len(each.prompt) + each.max_new for each in requests)
    served = engine(
        model,
        draft,
        guesses=ahead,
        num_blocks=1 + -(-(longest + ahead) // size) + dice.choice((0, 1, 3, 40)),
        block_size=size,
        max_seqs=dice.randint(1, 5),
        token_budget=1 + ahead + dice.choice((0, 3, 20, 200)),
        chunk=dice.choice((None, 1, 3, 8)),
        cache=dice.choice((None, PrefixCache)),
    )
    outputs = served.generate(requests)
    for request, output in zip(requests, outputs, strict=True):
        due = oracle.greedy(model, request.prompt, request.max_new, request.eos)
        if output != due:
            assert len(output) == len(due)
            assert oracle.replay(model, request.prompt, output) is None
    return served


@pytest.mark.parametrize("block", range(4))
def test_random_engines_say_what_the_oracle_says(block: int) -> None:
    runs = [random_run(seed) for seed in range(15 * block, 15 * block + 15)]
    assert sum(run.metrics.accepted for run in runs) > 0


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_draft_that_is_the_model_itself_needs_one_pass_for_all_its_guesses(
    temperature: float,
) -> None:
    """With its KV in the same slots it thinks just what the large model thinks: across chunks and
    blocks too."""
    served = engine(MODELS[0], MODELS[0], chunk=4)
    served.add([1, 2, 3, 4, 5, 6], 21, Sampling(temperature, seed=3))
    while not served.idle:
        served.step()
    assert served.metrics.steps == 2 + 5  # two chunks, the second of which says four tokens already
    assert served.metrics.accepted == 21 - 6


def test_the_draft_finds_borrowed_prefixes_and_forked_prompts_in_its_own_pool() -> None:
    served = engine(MODELS[0], MODELS[0])
    menu = list(range(1, 20))
    served.generate([Request(0, [*menu, 5], 9)])
    before = served.metrics.steps
    served.add([*menu, 6], 16, n=3)
    while not served.idle:
        served.step()
    assert served.metrics.cached >= 16
    assert served.metrics.steps - before <= 1 + 5
    assert served.load().kv_usage < 1


def texts(
    served: Engine, prompt: Sequence[int], rule: Sampling, count: int, length: int
) -> list[tuple[int, ...]]:
    """What so many requests with seeds of their own say."""
    said: dict[int, list[int]] = {}
    for seed in range(count):
        said[served.add(prompt, length, replace(rule, seed=seed))] = []
    while not served.idle:
        for event in served.step():
            said[event.id] += event.tokens
    return [tuple(text) for text in said.values()]


@pytest.mark.parametrize("draft", [STRANGER, MODELS[1]], ids=["a stranger", "a sibling"])
def test_drawn_text_is_distributed_as_the_large_models(draft: Model) -> None:
    """Two tokens of three likely ones each, exactly known; a right engine fails once in ten million
    seeds."""
    rule, prompt, count = Sampling(0.7, top_k=3), [3, 1, 4, 1, 5], 1200
    served = engine(MODELS[0], draft, num_blocks=400, max_seqs=64)
    seen = Counter(texts(served, prompt, rule, count, 2))
    due = {}
    for first, share in enumerate(_spread(prompt, rule)):
        for second, then in enumerate(_spread([*prompt, first], rule) if share else ()):
            due[first, second] = share * then
    freedom = sum(x > 0 for x in due.values()) - 1
    assert freedom == 8
    assert chi_square(seen, due) < limit(freedom)


def _spread(tokens: list[int], rule: Sampling) -> list[float]:
    logits = oracle.logits(MODELS[0], tokens)[-1].tolist()
    return spread(logits, Rule(rule.temperature, rule.top_k)).p


def test_a_drawn_text_is_the_same_whenever_it_is_served_alone() -> None:
    rule = Sampling(1.0, seed=11)
    once, again = (texts(engine(MODELS[0], STRANGER), [1, 2], rule, 1, 20) for _ in range(2))
    assert once == again


def test_who_asks_for_scores_is_served_without_guesses_beside_others_that_are() -> None:
    served = engine(MODELS[0], MODELS[0])
    asking = served.add([1, 2], 6, Sampling(scores=2))
    greedy = served.add([1, 2], 6)
    events = [event for _ in range(20) for event in served.step()]
    assert all(len(event.tokens) == 1 and event.scores for event in events if event.id == asking)
    told = {
        id: [token for event in events if event.id == id for token in event.tokens]
        for id in (asking, greedy)
    }
    assert told[asking] == told[greedy] == oracle.greedy(MODELS[0], [1, 2], 6)
    assert max(len(event.tokens) for event in events if event.id == greedy) == 4


class Alternating:
    """A cost model that rests for some steps, as one does that measures."""

    def __init__(self) -> None:
        self.steps = 0
        self.noted: list[StepCost] = []

    def worth(self, batch: int) -> bool:
        self.steps += 1
        return self.steps % 6 > 2

    def verdict(self, batch: int) -> str:
        return ""

    def note(self, spent: StepCost) -> None:
        self.noted.append(spent)

    def pass_over(self, batch: int) -> None: ...


def test_after_a_rest_the_draft_reads_what_it_missed() -> None:
    costs = Alternating()
    served = engine(MODELS[0], MODELS[0], cost_model=costs)
    (text,) = served.generate([Request(0, [1, 2, 3], 40)])
    assert text == oracle.greedy(MODELS[0], [1, 2, 3], 40)
    drafted = [spent for spent in costs.noted if spent.trees]
    assert drafted and all(spent.kept == 4 for spent in drafted[:-1])
    assert any(not spent.trees for spent in costs.noted)


def test_a_part_that_answers_nonsense_is_named() -> None:
    def wrong(count: Any, following: Any) -> Any:
        return SimpleNamespace(
            probabilities=speculative_sampling.probabilities,
            accept_chain=lambda draft, *_: Accepted(count=count(draft), next=following(draft)),
        )

    zeros = lambda draft: torch.zeros(len(draft), dtype=torch.long)  # noqa: E731
    for part in (
        wrong(lambda draft: zeros(draft) + 9, zeros),
        wrong(zeros, lambda draft: zeros(draft) - 1),
        wrong(lambda draft: zeros(draft).float(), zeros),
        SimpleNamespace(probabilities=lambda logits, **_: logits[..., :1], accept_chain=None),
        SimpleNamespace(
            probabilities=speculative_sampling.probabilities, accept_chain=lambda *_: 1 / 0
        ),
    ):
        with pytest.raises(PartError) as caught:
            engine(MODELS[0], STRANGER, part).generate([Request(0, [1, 2], 5)])
        assert caught.value.slot == "speculative_sampling"


def test_a_draft_of_another_vocabulary_is_refused() -> None:
    with pytest.raises(ValueError, match="another vocabulary"):
        engine(MODELS[0], random_model(replace(SMALL, vocab=VOCAB + 8), 1))


# ---------------------------------------------------------------- the draft model that is shipped


def test_the_shipped_draft_is_a_tenth_of_the_waiter_and_below_a_megabyte() -> None:
    waiter = load_model("waiter")
    draft = draft_for(waiter)
    sizes = [sum(weight.numel() for weight in model.weights.values()) for model in (draft, waiter)]
    assert 0.08 < sizes[0] / sizes[1] < 0.12
    assert sum(path.stat().st_size for path in DRAFT.iterdir()) < 1 << 20
    assert draft.config.vocab == waiter.config.vocab
    assert (DRAFT / "tokenizer.json").read_bytes() == (CHECKPOINT / "tokenizer.json").read_bytes()


def test_the_card_of_the_draft_says_what_was_measured(tmp_path: Path) -> None:
    shutil.copytree(DRAFT, tmp_path / "draft")
    figures = train_draft.DraftFigures(**json.loads((DRAFT / "figures.json").read_text()))
    train_draft.write_card(tmp_path / "draft", figures)
    for name in ("README.md", "figures.json"):
        assert (tmp_path / "draft" / name).read_text() == (DRAFT / name).read_text()
    assert (
        json.loads((DRAFT / "training.json").read_text())["recipe"]["seed"]
        == train_draft.RECIPE.seed
    )


def test_tokens_a_pass_are_counted_from_every_place() -> None:
    certain, hopeless = torch.ones(6), torch.zeros(6)
    assert train_draft.tokens_a_pass([certain], 4) == 5
    assert train_draft.tokens_a_pass([hopeless], 4) == 1
    assert train_draft.tokens_a_pass([torch.full((4,), 0.5)], 2) == pytest.approx(1.75)
