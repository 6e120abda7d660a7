"""The law that closes exercise 6: the engine verifies trees that the part has grown, and its text
is greedy.

Small engines of random weights are told their guesses. Then EAGLE's layer, which was trained for
the waiter, guesses, and the trees that the part grows of its guesses have to yield more than
Medusa's tree of the same size.
"""

from __future__ import annotations

import random
from typing import Any

from graders.checking.check_context import CheckContext
from graders.checking.failure import Step
from graders.checking.random_cases import Case, explore
from graders.exercises.ex4_medusa.in_engine import (
    ASK_LIMITS,
    SIZES,
    EngineStory,
    drawn_requests,
    judge_waiter,
    one_thread,
    questions,
    tiny,
)
from graders.exercises.ex6_draft_tree.judge import DraftTreeRecorder
from graders.result import Figure
from graders.simulation.load_companions import company
from graders.throughput.whole_room import WholeRoom

KINDS = ("perfect", "useless", "mixed", "alike")
LEVELS, GUESSES = 3, 3
MODEL_SEEDS = 3
REQUESTS, LONGER = 4, 12
OF_THE_WAITER = {"depth": 4, "width": 3, "guesses": 3}
Text = list[int]


def same_text(context: CheckContext, *, cases: int) -> None:
    """Small random engines, then the waiter, in one worker."""
    with company(context, "medusa") as joined:
        joined.ask_limits = dict(ASK_LIMITS)
        with one_thread():
            explore(joined, _one_engine, cases=cases, moves=2)
        _waiter(joined)


def _story(context: CheckContext) -> EngineStory:
    return EngineStory(DraftTreeRecorder(context, "draft_tree", "engine"), blamed="rerank")


def _one_engine(context: CheckContext, case: Case) -> None:
    from reference_engine import oracle

    setup, chance = case.setup, random.Random(repr(case.codes[0]))
    seed, kind, size = chance.randrange(MODEL_SEEDS), setup.pick(KINDS), setup.pick((4, 2, 8, 13))
    width = setup.pick((2, 1, 3))
    size = min(size, 1 + GUESSES * (1 + width * (LEVELS - 1)))  # as many candidates as grow
    loaded, requests = tiny(seed), drawn_requests(chance, setup.pick((1, 2, 3)))
    due = [oracle.greedy(loaded, *request) for request in requests]
    tree = {"size": size, "depth": LEVELS, "width": width, "guesses": GUESSES}
    need = max(len(prompt) + count for prompt, count, _ in requests) + size
    sizes = {
        "num_blocks": 2 + need // 4 + chance.choice((0, 2, 40)),
        "block_size": 4,
        "max_seqs": 3,
    }
    setting = {
        "model": ["tiny", seed, SIZES],
        "guesses": [_script(kind, text, chance) for text in due],
        "tree": tree,
        "engine": {**sizes, "token_budget": 64 + size},
        "requests": [list(request) for request in requests],
        "arrivals": [],
    }
    kitchen = _story(context)
    asked = "; ".join(f"{prompt}, max_new={count}, eos={eos}" for prompt, count, eos in requests)
    words = ", ".join(f"{name}={value}" for name, value in (sizes | tree).items())
    kitchen.scene.steps.append(Step(f"the drafter's guesses are {kind}"))
    room = WholeRoom(loaded, sizes)
    served = kitchen.serve(setting, f"serve({asked}; {words})", room)
    longest = [count for _, count, _ in requests]
    outputs = served.outputs
    kitchen.judge(
        outputs,
        due,
        longest,
        lambda row: oracle.replay(loaded, requests[row][0], outputs[row] or [-1]),
    )
    if len(requests) == 1 and kind in ("perfect", "useless"):  # alone, it is never preempted
        rest, deep = len(due[0]) - 1, min(LEVELS, size - 1) if kind == "perfect" else 0
        passes = -(-rest // (deep + 1))
        decodes = room.beyond(len(requests[0][0]))
        if decodes != passes:
            message = (
                f"With {kind} guesses and a tree of {size} nodes the text took {decodes} passes."
            )
            kitchen.scene.broken(
                message, got=f"{decodes} passes", expected=f"{passes} passes", method=kitchen.blamed
            )


def _script(kind: str, text: Text, chance: random.Random) -> list[Any]:
    """Item n: guesses [H][K] when n tokens have been said, and their logprobs."""
    script = []
    for said in range(len(text) + 1):
        truth = [*text[said : said + LEVELS], *[0] * LEVELS][:LEVELS]
        pairs = [_guesses(kind, token, chance) for token in truth]
        script.append([[tokens for tokens, _ in pairs], [logs for _, logs in pairs]])
    return script


def _guesses(kind: str, truth: int, chance: random.Random) -> tuple[list[int], list[float]]:
    wrong = [(truth + chance.randrange(1, SIZES["vocab"])) % SIZES["vocab"] for _ in range(GUESSES)]
    logs = sorted((-chance.randrange(1, 40) / 8 for _ in range(GUESSES)), reverse=True)
    if kind == "alike":
        return [0] * GUESSES, logs
    if kind == "perfect":
        return [truth, *wrong[1:]], [0.0, *(log - 1 for log in logs[1:])]
    if kind == "mixed" and chance.random() < 0.7:
        wrong[chance.randrange(GUESSES)] = truth
    return wrong, logs


def _waiter(context: CheckContext) -> None:
    """The waiter's own layer: more tokens a pass than with the static tree of as many nodes on
    Medusa's heads."""
    from reference_engine.medusa import HEADS
    from reference_engine.medusa.tree_search import tree_for
    from reference_engine.model_loader import load_model

    model, chance, size = (
        load_model("waiter"),
        random.Random(context.seed),
        tree_for("cpu", HEADS).nodes,
    )
    requests = questions(model, REQUESTS if context.laws_only else LONGER)
    kitchen, known = _story(context), set[tuple[int, ...]]()
    passes = []
    for guesses, tree in ((None, {}), ("layer", OF_THE_WAITER | {"size": size})):
        context.progress("the waiter")
        name = "your tree" if guesses else "the static tree"
        served = kitchen.serve(
            _setting(requests, guesses, tree),
            f"serve({len(requests)} requests of the waiter, {name})",
        )
        judge_waiter(kitchen, model, requests, served.outputs, known, chance)
        passes.append(round(served.tokens_a_pass, 2))
    static, grown = passes
    words = f"a static tree of {size} nodes on Medusa's heads"
    context.figures.append(Figure(f"tokens a pass, {size} nodes", grown, "tokens", static, words))
    if grown <= static:
        message = f"Your trees of {size} nodes yield {grown} tokens a pass, {words} {static}."
        got, due = f"{grown} tokens a pass", f"more than {static}"
        kitchen.scene.broken(message, got=got, expected=due, method=kitchen.blamed)


def _setting(
    requests: list[tuple[Text, int, int]], guesses: str | None, tree: dict[str, int]
) -> dict[str, Any]:
    blocks = 1 + 2 * max(-(-(len(prompt) + 96) // 16) for prompt, _, _ in requests)
    return {
        "model": "waiter",
        "guesses": guesses,
        "tree": tree,
        "engine": {"num_blocks": blocks, "block_size": 16, "max_seqs": 1, "token_budget": 1024},
        "requests": [list(request) for request in requests],
        "arrivals": [],
    }
