"""The laws that close exercise 4: the real engine, the part in it, and the oracle's text."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from graders.checking.check_context import CheckContext
from graders.checking.failure import Step
from graders.checking.random_cases import Case, explore
from graders.checking.replies import Raised, shown
from graders.checking.tensor_calls import TensorCallRecorder
from graders.exercises.ex4_medusa.judge import MedusaCallRecorder
from graders.exercises.ex4_medusa.specification import PathTree
from graders.result import Figure
from graders.simulation.load_companions import company
from graders.throughput.whole_room import WholeRoom

SIZES = {"vocab": 48, "positions": 256}
MODEL_SEEDS = 3
ASK_LIMITS = {"cpu": 60.0, "wall": 300.0}
JUDGED = 12
KINDS = ("perfect", "useless", "mixed", "late", "alike")
Text = list[int]


@dataclasses.dataclass(frozen=True, slots=True)
class EngineReport:
    """What the engine reported.

    part, talking: microseconds of the part, and of all, in steps in which nobody read a prompt, by
    the worker's own clock and for figures alone; said: tokens said in those.
    """

    outputs: list[Text]
    steps: int
    decodes: int
    emitted: int
    accepted: int
    preemptions: int
    cached: int
    part: int
    talking: int
    said: int

    @property
    def tokens_a_pass(self) -> float:
        """First tokens of requests aside, which the prefill says."""
        return (self.emitted - len(self.outputs)) / max(1, self.decodes)


class EngineStory:
    """The engine in the worker, as a story. blamed: the function to look at when a text is wrong."""

    def __init__(self, scene: TensorCallRecorder, blamed: str = "verify_greedy") -> None:
        self.scene, self.blamed = scene, blamed
        self.scene.load()

    @classmethod
    def of(cls, context: CheckContext) -> EngineStory:
        """That of a module that verifies."""
        return cls(MedusaCallRecorder(context, "medusa", "engine"))

    def serve(
        self, setting: dict[str, Any], written: str, room: WholeRoom | None = None
    ) -> EngineReport:
        """Run the engine to the end. Raises Broken when the part makes that impossible.

        room: where its passes are made, and can be counted.
        """
        self.scene.context.told = None if room is None else room.told
        setting = setting if room is None else {**setting, "asks": True}
        try:
            reply, _ = self.scene.call("serve", [setting], written)
        finally:
            self.scene.context.told = None
        if isinstance(reply, Raised):
            if reply.type == "PartError":
                message = f"The engine stopped: {reply.text}."
                self.scene.broken(
                    message, got=reply.text, expected="the engine serves everybody", raised=reply
                )
            self.scene.unexpected(reply, "the engine serves everybody")
        outputs, counters = self.scene.parsed(
            lambda: _served(reply.value, len(setting["requests"]))
        )
        self.scene.steps[-1].answer = shown(outputs)
        return EngineReport(outputs, *counters)

    def judge(
        self,
        outputs: Sequence[Text],
        due: Sequence[Text],
        longest: Sequence[int],
        wrong_at: Callable[[int], int | None],
    ) -> None:
        """Compare texts; `wrong_at(row)`: where a text that differs, of at most `longest[row]`
        tokens, leaves the near-tie rule, if it does."""
        for row, (output, text) in enumerate(zip(outputs, due, strict=True)):
            if output == text:
                continue
            same = len(output) != len(text) and output[: len(text)] == text[: len(output)]
            if same or len(output) > longest[row]:
                message = (
                    f"Request {row} gets {len(output)} tokens where {len(text)} are due: EOS "
                    "and max_new end a text."
                )
                self.scene.broken(message, got=shown(output), expected=shown(text))
            place = wrong_at(row)
            if place is not None:
                message = (
                    f"Request {row} gets {_at(output, place)} as token {place}; "
                    f"greedy decoding says {_at(text, place)}."
                    " Speculation may change how many passes a text takes, never the text."
                )
                self.scene.broken(
                    message, got=shown(output), expected=shown(text), method=self.blamed
                )


def same_text(context: CheckContext, *, cases: int) -> None:
    """Small random engines, then the waiter, in one worker: importing torch takes as long as twenty
    engines."""
    with company(context) as joined:
        joined.ask_limits = dict(ASK_LIMITS)
        any_engine(joined, cases=cases)
        waiter(joined)


def any_engine(context: CheckContext, *, cases: int) -> None:
    """Random engines on a tiny random model, heads of every kind; the oracle's text, token by
    token.

    context: one whose worker holds the other parts too, as everywhere below.
    """
    with one_thread():
        explore(context, _one_engine, cases=cases, moves=4)


def _one_engine(context: CheckContext, case: Case) -> None:
    from reference_engine import oracle

    setup, chance = case.setup, random.Random(repr(case.codes[0]))
    model, kind = chance.randrange(MODEL_SEEDS), setup.pick(KINDS)
    tree = _tree(case, chance)
    loaded = tiny(model)
    requests = drawn_requests(chance, setup.number(1, 4))
    due = [oracle.greedy(loaded, *request) for request in requests]
    guesses = [_script(kind, text, tree, chance) for text in due]
    sizes = drawn_sizes(chance, requests, len(tree) - 1, naive=context.others == "naive")
    setting = {
        "model": ["tiny", model, SIZES],
        "guesses": guesses,
        "choices": [list(path) for path in tree.paths[1:]],
        "engine": sizes,
        "requests": [list(request) for request in requests],
        "arrivals": [chance.randint(0, 2) for _ in range(4)],
    }
    words = ", ".join(f"{name}={value}" for name, value in sizes.items())
    kitchen = EngineStory.of(context)
    kitchen.scene.steps.append(Step(f"tree = medusa.build_tree({list(tree.paths[1:])})"))
    asked = "; ".join(f"{prompt}, max_new={count}, eos={eos}" for prompt, count, eos in requests)
    room = WholeRoom(loaded, sizes)
    served = kitchen.serve(setting, f"serve({asked}; {kind} heads, {words})", room)
    longest = [count for _, count, _ in requests]
    outputs = served.outputs
    kitchen.judge(
        outputs,
        due,
        longest,
        lambda row: oracle.replay(loaded, requests[row][0], outputs[row] or [-1]),
    )
    counts = kind == "useless" or (
        kind == "perfect" and _nobody_pauses(sizes, len(requests), len(tree))
    )
    if counts and (not served.preemptions or has_room_for_all(requests, sizes, len(tree) - 1)):
        _count_passes(kitchen, room.decodes(len(requests)), kind, tree, due)


def has_room_for_all(
    requests: Sequence[tuple[Text, int, int | None]], sizes: Mapping[str, Any], ahead: int
) -> bool:
    """Whether nobody can have been preempted, whatever the engine says of itself."""
    needs = [
        -(-(len(prompt) + count + ahead) // sizes["block_size"]) for prompt, count, _ in requests
    ]
    return bool(sum(needs) < sizes["num_blocks"])


def _nobody_pauses(sizes: Mapping[str, int | None], requests: int, nodes: int) -> bool:
    """Whether the budget has size for the trees of all who run. Who is passed over loses the
    guesses that were made."""
    seats, budget = sizes["max_seqs"], sizes["token_budget"]
    assert seats is not None and budget is not None
    return budget >= nodes * min(seats, requests)


def _count_passes(
    kitchen: EngineStory, decodes: int, kind: str, tree: PathTree, due: Sequence[Text]
) -> None:
    """Perfect heads need ceil(n / (D + 1)) passes after the first token, useless ones n."""
    rest = [len(text) - 1 for text in due]
    passes = sum(-(-n // (tree.height + 1)) if kind == "perfect" else n for n in rest)
    if decodes != passes:
        message = (
            f"With {kind} heads and a tree {tree.height} deep the texts took {decodes} passes."
        )
        kitchen.scene.broken(
            message, got=f"{decodes} passes", expected=f"{passes} passes", method=kitchen.blamed
        )


def _tree(case: Case, chance: random.Random) -> PathTree:
    paths = [
        tuple(move.number(0, 2) for _ in range(move.pick((1, 2, 3)))) for move in case.moves
    ] or [(0,)]
    height = max(map(len, paths))
    return PathTree.of([*paths, (0,) * height])


def drawn_requests(chance: random.Random, count: int) -> list[tuple[Text, int, int | None]]:
    menu = [chance.randrange(SIZES["vocab"]) for _ in range(10)]
    requests: list[tuple[Text, int, int | None]] = []
    for _ in range(count):
        prompt = menu[: chance.choice((0, 6, 10))] + [
            chance.randrange(SIZES["vocab"]) for _ in range(chance.randint(1, 4))
        ]
        requests.append(
            (
                prompt,
                chance.randint(1, 10),
                chance.choice((None, None, chance.randrange(SIZES["vocab"]))),
            )
        )
    return requests


def _script(kind: str, text: Text, tree: PathTree, chance: random.Random) -> list[list[list[int]]]:
    """guesses[n][h][k] when n tokens have been said (n = 0 is never asked)."""
    script = []
    for said in range(len(text) + 1):
        ahead = (
            text[said : said + tree.height]
            if kind != "late"
            else text[said - 1 : said - 1 + tree.height]
        )
        truth = [*ahead, *[0] * tree.height][: tree.height]
        script.append([drawn_guesses(kind, token, max(tree.rank) + 1, chance) for token in truth])
    return script


def drawn_guesses(kind: str, truth: int, count: int, chance: random.Random) -> list[int]:
    wrong = [(truth + chance.randrange(1, SIZES["vocab"])) % SIZES["vocab"] for _ in range(count)]
    if kind == "alike":
        return [0] * count
    if kind in ("perfect", "late"):
        wrong[0] = truth
    elif kind == "mixed" and chance.random() < 0.7:
        wrong[chance.randrange(count)] = truth
    return wrong


def drawn_sizes(
    chance: random.Random,
    requests: Sequence[tuple[Text, int, int | None]],
    ahead: int,
    *,
    naive: bool,
) -> dict[str, int | None]:
    """An engine in which the largest request just fits, or with size to spare."""
    size = chance.choice((2, 1, 4, 16))
    need = max(len(prompt) + count for prompt, count, _ in requests) + ahead
    blocks = 1 + -(-need // size) + chance.choice((0, 1, 4, 40))
    return {
        "num_blocks": blocks,
        "block_size": size,
        "max_seqs": chance.randint(1, 4),
        "token_budget": 1 + ahead + chance.choice((0, 3, 30, 60)) + 64 * naive,
        "chunk": None if naive else chance.choice((None, 1, 4)),
    }


_MODELS: dict[int, Any] = {}


def tiny(seed: int) -> Any:
    """The model that the worker makes too; made once, never changed."""
    from reference_engine.llama.config import SHAPES
    from reference_engine.model import random_model

    if seed not in _MODELS:
        _MODELS[seed] = random_model(
            dataclasses.replace(SHAPES["tiny"], vocab=SIZES["vocab"], positions=SIZES["positions"]),
            seed,
        )
    return _MODELS[seed]


@contextmanager
def one_thread() -> Iterator[None]:
    """The oracle's products are small: threads would only wait for each other."""
    import torch

    usual = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(usual)


def _at(text: Text, place: int) -> int | str:
    return text[place] if place < len(text) else "nothing"


def _served(value: Any, count: int) -> tuple[list[Text], list[int]]:
    from graders.sandbox import protocol

    if (
        type(value) is not list
        or len(value) != 2
        or type(value[0]) is not list
        or len(value[0]) != count
    ):
        raise protocol.ProtocolError("an answer that is not one")
    return [protocol.integers(text) for text in value[0]], protocol.integers(value[1], 9)


# ---------------------------------------------------------------- what it is good for


@dataclasses.dataclass(frozen=True, slots=True)
class EngineSize:
    """A model, requests served at a time, and how many come in all."""

    model: str
    batch: int
    requests: int

    def __str__(self) -> str:
        _, larger, size = self.model.partition("@")
        return f"batch {self.batch}" + (f", {size} parameters" if larger else "")


ENGINE_SIZES = (
    EngineSize("waiter", 1, 12),
    EngineSize("waiter", 4, 12),
    EngineSize("waiter", 16, 24),
    EngineSize("waiter", 64, 64),
    EngineSize("waiter@50m", 1, 2),
)
"""The waiter is so small that a pass is arithmetic from the first row on. In the shape of a model twelve times as large
a pass waits for its weights, as real models do, and further rows are nearly free."""


BRIEF_SIZES = (EngineSize("waiter", 4, 6),)
"""Where the clock is left out, and haste is what counts."""


def waiter(context: CheckContext) -> None:
    """The waiter answers held-out requests with its own heads; figures: tokens a pass, and what
    they gain on the clock.

    The clock is the worker's own, and decides nothing: where timed laws are left out, it is left
    out as well.
    """
    from reference_engine.model_loader import load_model

    model, share, chance = load_model("waiter"), 0.0, random.Random(context.seed)
    sizes = BRIEF_SIZES if context.laws_only else ENGINE_SIZES
    requests, known = questions(model, max(size.requests for size in sizes)), set[tuple[int, ...]]()
    kitchen = EngineStory.of(context)
    for size in sizes:
        context.progress(str(size))
        words, asked = (
            f"{size.requests} requests of the {size.model}, {size.batch} at a time",
            requests[: size.requests],
        )
        served = kitchen.serve(_waiter(asked, size, "heads"), f"serve({words})")
        judge_waiter(kitchen, model, asked, served.outputs, known, chance)
        passes = round(served.tokens_a_pass, 2)
        context.figures.append(
            Figure(f"tokens a pass, {size}", passes, "tokens", 1.0, "no speculation")
        )
        if not context.laws_only:
            plain = kitchen.serve(_waiter(asked, size, None), f"serve({words}, no speculation)")
            context.figures.append(
                Figure(f"speed-up, {size}", _gain(plain, served), "x", 1.0, "no speculation")
            )
        share = share or served.part / max(1, served.talking)
    context.figures.append(
        Figure(f"the part's share of a pass, {sizes[0]}", round(100 * share, 1), "%")
    )


def _gain(plain: EngineReport, served: EngineReport) -> float:
    """On the clock: the loss at large batches too."""
    return round(
        plain.talking / max(1, plain.said) / max(1e-9, served.talking / max(1, served.said)), 2
    )


def judge_waiter(
    kitchen: EngineStory,
    model: Any,
    requests: Sequence[tuple[Text, int, int]],
    outputs: list[Text],
    known: set[tuple[int, ...]],
    chance: random.Random,
) -> None:
    """Hold answers against greedy decoding, JUDGED at most, which ones nobody can know.

    known: those that were, with the request's number before them.
    """
    from reference_engine import oracle

    for row in chance.sample(range(len(outputs)), min(JUDGED, len(outputs))):
        (prompt, count, eos), output = requests[row], outputs[row]
        if (row, *output) in known:
            continue
        known.add((row, *output))
        place = oracle.replay(model, prompt, output) if len(output) <= count else None
        if place is not None:
            message = f"Request {row} gets something else than the waiter's greedy answer, from token {place} on."
            kitchen.scene.broken(
                message, got=shown(output), expected="greedy decoding", method=kitchen.blamed
            )
        whole = output and (output[-1] == eos or len(output) == count) and eos not in output[:-1]
        if not whole or len(output) > count:
            message = f"The answer to request {row} ends after {len(output)} tokens, neither at its end nor at max_new."
            kitchen.scene.broken(message, got=shown(output), expected="a whole answer")


def questions(model: Any, count: int) -> list[tuple[Text, int, int]]:
    """(prompt, max_new, eos) of held-out requests."""
    from reference_engine.waiter.corpus import END, dialogue
    from reference_engine.waiter.tokenizer import special_id

    end = special_id(model.tokenizer, END)
    told = (dialogue(200_000 + seed, "heldout", turns=3) for seed in range(count))
    return [
        (model.tokenizer.encode(one.prompt(seed % 3)).ids, 64, end) for seed, one in enumerate(told)
    ]


def _waiter(
    requests: Sequence[tuple[Text, int, int]], size: EngineSize, guesses: str | None
) -> dict[str, Any]:
    blocks = 1 + 2 * sum(-(-(len(prompt) + 96) // 16) for prompt, _, _ in requests)
    return {
        "model": size.model,
        "guesses": guesses,
        "choices": None,
        "engine": {
            "num_blocks": blocks,
            "block_size": 16,
            "max_seqs": size.batch,
            "token_budget": 1024,
        },
        "requests": [list(request) for request in requests],
        "arrivals": [],
    }
