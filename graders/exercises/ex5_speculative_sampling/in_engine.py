"""The law that closes exercise 5: the real engine with a draft model, the part in it, and what the
large model says."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

from graders.checking.check_context import CheckContext
from graders.checking.random_cases import Case, explore
from graders.exercises.ex4_medusa.in_engine import (
    ASK_LIMITS,
    SIZES,
    EngineSize,
    EngineStory,
    Text,
    drawn_requests,
    drawn_sizes,
    has_room_for_all,
    judge_waiter,
    one_thread,
    questions,
    tiny,
)
from graders.exercises.ex5_speculative_sampling import distribution
from graders.exercises.ex5_speculative_sampling.judge import SLOT, SamplingCallRecorder
from graders.exercises.ex5_speculative_sampling.specification import Rule, spread
from graders.result import Figure
from graders.simulation.load_companions import company
from graders.throughput.whole_room import WholeRoom

MODEL_SEEDS = 3
GUESSES = 4
DRAWN = 1500  # requests whose texts are counted
SIXTEEN = 16  # of the waiter's, for figures
RULE = Rule(0.7, 3)
SLOWER = "steps of the draft cost more here than the passes of so small a model that they save"
PROMPT = [3, 1, 4, 1, 5]
TRAINED = (EngineSize("waiter", 1, 8), EngineSize("waiter", 4, 12), EngineSize("waiter@20m", 1, 4))
BRIEF = (EngineSize("waiter", 4, 6),)
GREEDY: dict[str, Any] = {"temperature": 0.0}


def same_text(context: CheckContext, *, cases: int) -> None:
    """Small random engines, texts that are drawn, then the waiter, in one worker."""
    with company(context) as joined:
        joined.ask_limits = dict(ASK_LIMITS)
        with one_thread():
            explore(joined, _one_engine, cases=cases, moves=2)
            _drawn(joined)
        _waiter(joined)


def _story(context: CheckContext) -> EngineStory:
    return EngineStory(SamplingCallRecorder(context, SLOT, "engine"), blamed="accept_chain")


def _one_engine(context: CheckContext, case: Case) -> None:
    """Greedy requests on a tiny random model, drafted by itself or by another one; the oracle's
    text."""
    from reference_engine import oracle

    setup, chance = case.setup, random.Random(repr(case.codes[0]))
    model, guesses = chance.randrange(MODEL_SEEDS), setup.pick((2, 1, 3, 4))
    draft = setup.pick((model, (model + 1) % MODEL_SEEDS))
    loaded, requests = tiny(model), drawn_requests(chance, setup.number(1, 4))
    due = [oracle.greedy(loaded, *request) for request in requests]
    sizes = drawn_sizes(chance, requests, guesses, naive=context.others == "naive")
    setting = {
        "model": ["tiny", model, SIZES],
        "draft": ["tiny", draft, SIZES],
        "guesses": guesses,
        "engine": sizes,
        "requests": [[*request, GREEDY] for request in requests],
        "arrivals": [chance.randint(0, 2) for _ in range(4)],
    }
    words = ", ".join(f"{name}={value}" for name, value in sizes.items())
    asked = "; ".join(f"{prompt}, max_new={count}, eos={eos}" for prompt, count, eos in requests)
    whose = "by the model itself" if draft == model else "by another model"
    kitchen = _story(context)
    room = WholeRoom(loaded, sizes)
    served = kitchen.serve(setting, f"serve({asked}; {guesses} guesses {whose}, {words})", room)
    longest, outputs = [count for _, count, _ in requests], served.outputs
    kitchen.judge(
        outputs,
        due,
        longest,
        lambda row: oracle.replay(loaded, requests[row][0], outputs[row] or [-1]),
    )
    undisturbed = not served.preemptions or has_room_for_all(requests, sizes, guesses)
    if draft == model and outputs == due and undisturbed:
        _count_passes(kitchen, room.decodes(len(requests)), guesses, due)


def _count_passes(kitchen: EngineStory, decodes: int, guesses: int, due: Sequence[Text]) -> None:
    """A model that drafts for itself needs ceil(n / (K + 1)) passes, the one that reads the prompt
    among them."""
    passes = sum(-(-len(text) // (guesses + 1)) - 1 for text in due)
    if decodes > passes:
        message = (
            f"A model that drafts {guesses} guesses for itself took {decodes} passes after those that read the"
            f" prompts; {passes} are due, since every guess is what it says itself."
        )
        kitchen.scene.broken(message, got=f"{decodes}", expected=f"{passes}", method="accept_chain")


def _drawn(context: CheckContext) -> None:
    """Texts of two tokens that are drawn, drafted by another model: how often each comes is known
    exactly."""
    from reference_engine import oracle

    context.cases += 1
    first_seed = random.Random(context.seed).randrange(1 << 32)
    rule: dict[str, Any] = {"temperature": RULE.temperature, "top_k": RULE.top_k}
    engine = {
        "num_blocks": 400 if context.others != "naive" else 2000,
        "block_size": 4,
        "max_seqs": 64,
    }
    setting = {
        "model": ["tiny", 0, SIZES],
        "draft": ["tiny", 1, SIZES],
        "guesses": 2,
        "engine": engine | {"token_budget": 512},
        "requests": [
            [PROMPT, 2, None, rule | {"seed": first_seed + number}] for number in range(DRAWN)
        ],
        "arrivals": [],
    }
    kitchen = _story(context)
    served = kitchen.serve(
        setting, f"serve({DRAWN} requests of two tokens at {RULE}, 2 guesses by another model)"
    )
    kitchen.scene.steps[-1].answer = ""

    def p(tokens: Sequence[int]) -> list[float]:
        return spread(oracle.logits(tiny(0), tokens)[-1].tolist(), RULE).p

    due: dict[distribution.Text, float] = {}
    for first, share in enumerate(p(PROMPT)):
        for second, then in enumerate(p([*PROMPT, first]) if share else ()):
            due[first, second] = share * then
    due = {text: share for text, share in due.items() if share}
    seen = Counter(tuple(text) for text in served.outputs)
    distribution.fair(kitchen, seen, due, "another model as its draft", "accept_chain")


def _waiter(context: CheckContext) -> None:
    """The waiter answers held-out requests with its own draft model; figures: tokens a pass, at
    both temperatures."""
    from reference_engine.model_loader import load_model

    model, chance, known = load_model("waiter"), random.Random(context.seed), set[tuple[int, ...]]()
    sizes = BRIEF if context.laws_only else TRAINED
    asked = questions(model, max(size.requests for size in sizes))
    kitchen = _story(context)
    for size in sizes:
        context.progress(str(size))
        some = asked[: size.requests]
        words = f"{size.requests} requests of the {size.model}, {size.batch} at a time"
        greedy = kitchen.serve(_setting(some, size, GREEDY, "waiter"), f"serve({words})")
        judge_waiter(kitchen, model, some, greedy.outputs, known, chance)
        drawn = kitchen.serve(
            _setting(some, size, {"temperature": 1.0}, "waiter"), f"serve({words}, temperature=1.0)"
        )
        for served, warmth in ((greedy, 0), (drawn, 1)):
            name = f"tokens a pass, temperature {warmth}, {size}"
            context.figures.append(
                Figure(name, round(served.tokens_a_pass, 2), "tokens", 1.0, "no draft")
            )
        if not context.laws_only:
            plain = kitchen.serve(
                _setting(some, size, {"temperature": 1.0}, None), f"serve({words}, no draft)"
            )
            gain = (
                plain.talking / max(1, plain.said) / max(1e-9, drawn.talking / max(1, drawn.said))
            )
            name, note = f"speed-up, temperature 1, {size}", SLOWER if gain < 1 else ""
            context.figures.append(Figure(name, round(gain, 2), "x", 1.0, "no draft", note))


def _setting(
    requests: Sequence[tuple[Text, int, int]],
    size: EngineSize,
    rule: dict[str, Any],
    draft: str | None,
) -> dict[str, Any]:
    blocks = 1 + 2 * sum(-(-(len(prompt) + 96) // 16) for prompt, _, _ in requests)
    rules = [
        rule | ({"seed": number} if rule["temperature"] else {}) for number in range(len(requests))
    ]
    return {
        "model": size.model,
        "draft": draft,
        "guesses": GUESSES,
        "engine": {
            "num_blocks": blocks,
            "block_size": 16,
            "max_seqs": size.batch,
            "token_budget": 1024,
        },
        "requests": [[*request, own] for request, own in zip(requests, rules, strict=True)],
        "arrivals": [],
    }
