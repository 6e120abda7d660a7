"""The laws of exercise 2, from one request to a whole engine. Light: what plays them is imported
when it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graders.registry.law import LawBook
from graders.throughput.laws import add_throughput

if TYPE_CHECKING:
    from graders.checking.check_context import CheckContext

ELSEWHERE = {  # what another engine does by rule, and the contract does not
    "prefills first": "This is how nano-vllm and SGLang do it, which read new prompts first and let decodes wait; here "
    "the contract asks for decodes first, then prefills, then admissions.",
    "whole prompts only": "This is how vLLM did it before chunked prefill, and nano-vllm, which wait for a step that "
    "holds the whole prompt; here the contract asks for a chunk as long as the budget lasts.",
    "victim by output": "This is how SGLang does it, which retracts whoever has said least; here the contract asks for "
    "the last in order.",
    "longest prefix first": "This is how SGLang does it, which may order its queue by cached prefix; here the contract "
    "asks that nobody overtakes the head.",
    "room to the end": "This is how SGLang does it, which admits a request when an estimate of all its tokens has "
    "room; here the contract asks for its admission when its tokens so far have.",
    "guesses of prefills": "This is how vLLM does it, which reserves lookahead slots for every running request; here "
    "the contract asks for them when a chunk samples, and only then.",
    "keeps guesses": "This is how vLLM does it, which keeps the slots of rejected guesses for the next step; here the "
    "contract asks `commit` to give them back.",
}
LAWS = LawBook(exercise=2, elsewhere=ELSEWHERE)


@LAWS.law(
    "life cycle",
    statement="A request is computed from its first token to its last, emits up to its EOS or max_new tokens "
    "exactly, and gives everything back.",
    points=10,
    hints=(
        "Look at one request alone: which tokens have KV before a step, which after it, how many tokens it has then.",
        "The token that `commit` appends has no KV yet: the next chunk computes exactly that one, and samples again.",
        "Keep `computed`. plan: start = computed, length = len(prompt) + len(output) - computed. commit: "
        "computed += length; append the token; at EOS or max_new: kv.drop(id, tokens[:computed]) and forget "
        "the request.",
    ),
)
def life_cycle(context: CheckContext) -> None:
    from graders.checking.random_cases import explore
    from graders.exercises.ex2_batching_scheduler import fixed_cases, random_cases, refusals

    refusals.impossible_schedulers(context)
    explore(context, random_cases.life_cycle, cases=50, first=fixed_cases.lives)


@LAWS.law(
    "join and leave",
    statement="Every step anew: at most max_seqs run, and a seat that falls free is taken in the next plan.",
    points=8,
    needs=("life cycle",),
    hints=(
        "Look at the step after somebody finished while others still run and one more waits.",
        "There is no batch that has to end. Each plan serves all who run, then fills the free seats from the queue.",
        "while waiting and len(running) < max_seqs: admit the head of the queue, in every plan, not only when"
        " nobody runs.",
    ),
)
def join_and_leave(context: CheckContext) -> None:
    from graders.checking.random_cases import explore
    from graders.exercises.ex2_batching_scheduler import fixed_cases, random_cases

    explore(context, random_cases.join_and_leave, cases=40, first=fixed_cases.many)


@LAWS.law(
    "token budget",
    statement="A plan costs at most token_budget: decodes first, then prefills, then admissions, each in order and "
    "as long as it lasts.",
    points=8,
    needs=("join and leave",),
    hints=(
        "Look at a plan in which a long prompt and a few decodes want more than the budget together.",
        "Walk through the groups in order and subtract. A prompt that does not fit whole gets what is left, "
        "and does not sample; the rest follows in later steps.",
        "length = min(gap, budget); samples = (length == gap); budget -= length; stop at budget 0. A plan is "
        "never empty while somebody is here.",
    ),
)
def token_budget(context: CheckContext) -> None:
    from graders.checking.random_cases import explore
    from graders.exercises.ex2_batching_scheduler import fixed_cases, random_cases

    explore(context, random_cases.budget, cases=50, moves=14, first=fixed_cases.decodes_first)


@LAWS.law(
    "chunked prefill",
    statement="At most `chunk` prefill tokens of one request a step; chunks follow each other without gap, and only"
    " the last one samples.",
    points=8,
    needs=("token budget",),
    hints=(
        "Look at a prompt of 5 tokens with chunk=2: [0, 2), [2, 4), [4, 5). Which of them asks the model for a token?",
        "The cap is for each request, the budget for all of them. Chunks of several prompts and decodes share a step.",
        "length = min(gap, chunk or gap, budget); samples exactly when start + length == len(prompt) + len(output).",
    ),
)
def chunked_prefill(context: CheckContext) -> None:
    from graders.checking.random_cases import explore
    from graders.exercises.ex2_batching_scheduler import fixed_cases, random_cases

    explore(context, random_cases.chunks, cases=50, moves=14, first=fixed_cases.chunks)


@LAWS.law(
    "head of line",
    statement="Whoever fits is admitted, through kv.admit and in order; when the head of the queue does not fit, "
    "nobody overtakes it.",
    points=8,
    needs=("join and leave",),
    hints=(
        "Look at a queue with a big request at its head and a small one behind it, in a pool that has room "
        "for the small one only.",
        "If small ones may pass, a big one may wait for ever. kv.admit says None and has changed nothing: stop there.",
        "if kv.admit(id, tokens, start + length + lookahead * samples) is None: break. Only then take it off "
        "the queue.",
    ),
)
def head_of_line(context: CheckContext) -> None:
    from graders.checking.random_cases import explore
    from graders.exercises.ex2_batching_scheduler import fixed_cases, random_cases

    explore(context, random_cases.head_of_line, cases=40, first=fixed_cases.a_big_head)


@LAWS.law(
    "preemption",
    statement="When a running request lacks blocks, the last one in order goes back to its place in the queue, "
    "keeps its output, and leaves plan, budget and pool as if it had not been planned.",
    points=12,
    needs=("head of line", "chunked prefill"),
    hints=(
        "Look at the moment when kv.extend returns None: who is the last to have come, and may its chunk be "
        "in the plan already?",
        "The oldest always gets on, so there is always progress. The victim may be the very request that "
        "lacks the block. All it loses is its blocks: `computed` is 0 again, its output stays and is "
        "recomputed like a prompt.",
        "while (copies := kv.extend(id, end)) is None: victim = running.pop() (the last in order); take its "
        "chunk and copies out of the plan, budget += its cost; kv.drop(victim.id, tokens[:computed]); back "
        "into the queue, sorted; stop if it is the request itself. A step that preempted admits nobody.",
    ),
)
def preemption(context: CheckContext) -> None:
    from graders.checking.random_cases import explore
    from graders.exercises.ex2_batching_scheduler import fixed_cases, random_cases

    explore(context, random_cases.preemption, cases=60, moves=14, first=fixed_cases.preemptions)


@LAWS.law(
    "priorities",
    statement='Under the policy "priority" queue, service and victims go by (priority, arrival), lower first; under'
    ' "fcfs" priorities mean nothing.',
    points=6,
    needs=("preemption",),
    hints=(
        "Look at two requests of which the later has the lower number: who is admitted first, who is served first?",
        "One key for everything: the queue, the order of service within a group, and the victim, who is the "
        "last by it.",
        'key = (priority if policy == "priority" else 0, arrival), where arrival counts the calls of add; it '
        "stays the same for the whole life of the request.",
    ),
)
def priorities(context: CheckContext) -> None:
    from graders.checking.random_cases import explore
    from graders.exercises.ex2_batching_scheduler import fixed_cases, random_cases

    explore(context, random_cases.priorities, cases=40, moves=14, first=fixed_cases.priorities)


@LAWS.law(
    "abort",
    statement="abort works in every state, between plan and commit too: blocks are given back at once, and a commit"
    " ignores who is gone.",
    points=8,
    needs=("preemption",),
    hints=(
        "Look at a request that is aborted after `plan` has put it into a chunk: has that chunk been computed?",
        "Waiting: out of the queue. Running: kv.drop with the tokens that are computed, which those of an "
        "uncommitted chunk are not. Unknown: KeyError. And commit must not stumble over the missing one.",
        "request = requests.pop(id) raises the KeyError. In commit: if chunk.id not in requests: continue.",
    ),
)
def abort(context: CheckContext) -> None:
    from graders.checking.random_cases import explore
    from graders.exercises.ex2_batching_scheduler import fixed_cases, random_cases

    explore(context, random_cases.abort, cases=50, moves=14, first=fixed_cases.departures)


@LAWS.law(
    "several tokens",
    statement="A sampling chunk reserves and costs `lookahead` more; of k tokens committed the first k - 1 have KV;"
    " EOS and max_new cut in the middle; the rest of the reservation is truncated.",
    points=10,
    needs=("preemption",),
    hints=(
        "Look at a commit of 3 tokens: how far does KV reach then, and what if the second is the EOS or the "
        "last allowed?",
        "Verified guesses have been computed together with the chunk: computed grows by length + k - 1. Cut "
        "the list before you append. What was reserved beyond computed goes back with kv.truncate.",
        "kept = tokens[: max_new - len(output)], cut after EOS; output += kept; computed += length + "
        "len(kept) - 1; kv.truncate(id, computed) unless it has finished. A last chunk for which length + "
        "lookahead exceeds the budget is shortened by a token and does not sample.",
    ),
)
def several_tokens(context: CheckContext) -> None:
    from graders.checking.random_cases import explore
    from graders.exercises.ex2_batching_scheduler import fixed_cases, random_cases

    explore(context, random_cases.lookahead, cases=60, moves=14, first=fixed_cases.several_tokens)


@LAWS.law(
    "borrowed prefix",
    statement="An admission starts after the prefix that the cache holds; even a prompt that is cached whole "
    "computes its last token; a preempted request finds its own blocks.",
    points=6,
    needs=("preemption",),
    hints=(
        "Look at the second of two requests with the same prompt: where does its first chunk start?",
        "kv.lookup(tokens) < len(tokens) always, so there is always a chunk; without one no token could be "
        "sampled. Look up prompt + output: a preempted request has stored its own.",
        "start = kv.lookup(tokens); computed = start; length from there; kv.admit(id, tokens, start + length "
        "+ ...) borrows the same prefix.",
    ),
)
def borrowed_prefix(context: CheckContext) -> None:
    from graders.checking.random_cases import explore
    from graders.exercises.ex2_batching_scheduler import fixed_cases, random_cases

    explore(context, random_cases.borrowing, cases=40, moves=14, first=fixed_cases.borrowing)


@LAWS.law(
    "fairness",
    statement="Whoever came first is served first, preempted or not: however many come later, nobody waits for ever.",
    points=6,
    needs=("preemption",),
    hints=(
        "Look at where a preempted request stands in the queue when newcomers have arrived meanwhile.",
        "Its arrival has not changed: it goes before all who came after it, usually to the head.",
        "bisect.insort(waiting, entry, key=...) with the key it had from the beginning; not append.",
    ),
)
def fairness(context: CheckContext) -> None:
    from graders.checking.random_cases import explore
    from graders.exercises.ex2_batching_scheduler import fixed_cases, random_cases

    explore(context, random_cases.fairness, cases=30, moves=16, first=fixed_cases.fairness)


@LAWS.law(
    "same tokens",
    statement="In the whole engine every read finds the right KV and every request gets the same tokens, whatever "
    "pool, budget, chunk, cache, lookahead and order of arrival.",
    points=8,
    needs=("abort", "several tokens", "borrowed prefix"),
    kind="engine",
    hints=(
        "Look at the step that the message names: who wrote the slot, and why did it still, or already, look "
        "like yours?",
        "A read goes wrong when `start` is not what has KV (after a preemption, a cached prefix or several "
        "tokens), or when tokens without KV were offered to the cache.",
        "Compare, after every commit, your `computed` with the tokens that have KV; offer tokens[:computed], "
        "nothing more.",
    ),
)
def same_tokens(context: CheckContext) -> None:
    from graders.simulation import engine_laws

    engine_laws.same_tokens(context, besides=engine_laws.static_batching)


@LAWS.law(
    "swift plan",
    statement="What a step costs grows with the number of running requests, not with its square.",
    points=2,
    needs=("same tokens",),
    kind="throughput",
    hints=(
        "Look at what your plan does for a request that only decodes: does it build or copy its tokens?",
        "Keep the number of tokens; a decode needs len(prompt) + len(output), not prompt + output. Keep the "
        "running sorted instead of sorting them.",
        "One pass over the running: kv.extend, one Chunk, nothing else. No `in` on a list, no list.remove for each.",
    ),
)
def swift_plan(context: CheckContext) -> None:
    from graders.exercises.ex2_batching_scheduler.plan_cost import swift_plan

    swift_plan(context)


add_throughput(
    LAWS,
    needs=("same tokens",),
    hints=(
        "Look at the figure: how many times as fast as the reference engine, and what the bound asks.",
        "An engine is slow through a scheduler that leaves seats or budget unused while somebody waits, or that "
        "preempts where it need not: the work of a victim is done twice.",
        "After the running decodes and prefills, admit as long as a seat is free, budget is left and kv.admit "
        "succeeds; an admission may get a chunk that is shorter than its prompt.",
    ),
)
