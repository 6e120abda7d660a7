"""The laws of exercise 5, in reading order. What they need is imported inside: this module is read
by `course list`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graders.registry.law import LawBook
from graders.throughput.laws import CALLS_ALONE, add_throughput

if TYPE_CHECKING:
    from graders.checking.check_context import CheckContext

LAWS = LawBook(exercise=5)


@LAWS.law(
    "temperature",
    statement="probabilities is softmax(logits / temperature); at 0 all weight is on the argmax, the first of equals.",
    points=10,
    hints=(
        "Look at what is divided by what, over which dimension, and at temperature 0.",
        "The vocabulary is the last dimension, whatever comes before it. Nothing can be divided by 0: that is a case of"
        " its own, and the lowest index wins among equals.",
        "if temperature == 0: return zeros_like(logits).scatter_(-1, logits.argmax(-1, keepdim=True), 1.0); else"
        " softmax(logits / temperature, dim=-1).",
    ),
)
def temperature(context: CheckContext) -> None:
    from graders.checking.random_cases import explore
    from graders.exercises.ex5_speculative_sampling import edge_cases, random_cases

    explore(context, random_cases.temperature, cases=50, moves=3, first=edge_cases.temperatures)


@LAWS.law(
    "top-k",
    statement="Only the k likeliest are kept, with all that are as likely as the k-th; the rest is 0; 0 keeps all.",
    points=10,
    needs=("temperature",),
    hints=(
        "Look at ties, at k = 0, and at a k beyond the vocabulary.",
        "Keep by value, not by place: find the k-th largest logit and keep whatever is not below it. Then softmax, so"
        " that what is kept sums to 1.",
        "least = scores.topk(top_k).values[..., -1:]; scores.masked_fill(scores < least, -inf), if 0 < top_k < V.",
    ),
)
def top_k(context: CheckContext) -> None:
    from graders.checking.random_cases import explore
    from graders.exercises.ex5_speculative_sampling import edge_cases, random_cases

    explore(context, random_cases.top_k, cases=60, moves=3, first=edge_cases.top_ks)


@LAWS.law(
    "top-p",
    statement="After top-k, the smallest set of the likeliest whose sum reaches top_p is kept, equals by lower index.",
    points=10,
    needs=("top-k",),
    hints=(
        "Look at the token that reaches top_p: it belongs to the set.",
        "Sort from the likeliest down, stably; a token stays when those before it hold less than top_p. Then put them"
        " back in their places and normalise.",
        "ordered, order = p.sort(descending=True, stable=True); drop where ordered.cumsum(-1) - ordered >= top_p;"
        " zeros_like(p).scatter(-1, order, ordered), divided by its sum.",
    ),
)
def top_p(context: CheckContext) -> None:
    from graders.checking.random_cases import explore
    from graders.exercises.ex5_speculative_sampling import edge_cases, random_cases

    explore(context, random_cases.top_p, cases=80, moves=3, first=edge_cases.top_ps)


@LAWS.law(
    "guess by guess",
    statement="Guess i stands when u[i] < min(1, p_i(x) / q_i(x)); the first that falls ends it; count is what stood.",
    points=15,
    hints=(
        "Look at which row of p a guess is held against, and at what comes after one that fell.",
        "p[:, i] is what the large model says in the place of guess i. A guess behind one that fell does not count,"
        " however likely it is.",
        "stands = u * q_x < p_x, with p_x = p[:, :K].gather(2, draft[..., None]); count = stands.long().cumprod(1)"
        ".sum(1).",
    ),
)
def guess_by_guess(context: CheckContext) -> None:
    from graders.checking.random_cases import explore
    from graders.exercises.ex5_speculative_sampling import random_cases

    explore(context, random_cases.guesses, cases=120, moves=4)


@LAWS.law(
    "the token after",
    statement="next is drawn with v from max(p_i - q_i, 0) where guess i fell, and from p_K when all stood.",
    points=10,
    needs=("guess by guess",),
    hints=(
        "Look at which row next is drawn from, and at what is taken off it.",
        "The guess that fell was guessed too often. What is due instead is what p has more of than q, in the place"
        " where it fell. When all stood nothing was guessed in the last place, so nothing is taken off.",
        "w = p[rows, count]; where count < K: w = (w - q[rows, count]).clamp(min=0); next = the first index with"
        " w.cumsum(-1) > v * w.sum(-1).",
    ),
)
def the_token_after(context: CheckContext) -> None:
    from graders.checking.random_cases import explore
    from graders.exercises.ex5_speculative_sampling import edge_cases, random_cases

    explore(context, random_cases.token_after, cases=120, moves=3, first=edge_cases.afters)


@LAWS.law(
    "dice at the edge",
    statement="p = 0 never stands, q = 0 with p > 0 does; a u at the bar falls; certain models agree or do not; where"
    " nothing of p is left next comes from p; what lies beyond a guess that fell harms nobody.",
    points=5,
    needs=("guess by guess", "the token after"),
    hints=(
        "Look for 0 / 0, for <= where < is due, for a sum that a NaN has joined, and for an index past the end.",
        "u < p / q with q = 0 asks for a division that u * q < p does not. Comparing with NaN is False. A token of"
        " weight 0 is never drawn, not even by v = 0 or by a v next to 1.",
        "weights = where((w > 0).any(-1, keepdim=True), w, p_i); place = (cumsum <= v * cumsum[..., -1:]).sum(-1),"
        " at most the last index with w > 0.",
    ),
)
def dice_at_the_edge(context: CheckContext) -> None:
    from graders.exercises.ex5_speculative_sampling import edge_cases

    edge_cases.dice(context)
    edge_cases.nothing_left(context)
    edge_cases.beyond(context)
    edge_cases.greedy(context)
    edge_cases.no_guesses(context)
    edge_cases.large_chains(context)
    edge_cases.nearly_one(context)


@LAWS.law(
    "acceptance rate",
    statement="Over all dice, guesses stand as often as the two distributions overlap: 1 - their total variation.",
    points=5,
    needs=("guess by guess",),
    hints=(
        "Look at the precision in which u, q and p are compared, and at large batches.",
        "sum(min(p, q)) is 1 - TV. Half precision has no number between 0.998 and 0.999.",
        "Compare in the dtype that you were given: u * q_x < p_x, no rounding, no epsilon.",
    ),
)
def acceptance_rate(context: CheckContext) -> None:
    from graders.exercises.ex5_speculative_sampling import distribution

    distribution.acceptance_rate(context)


@LAWS.law(
    "siblings in turn",
    statement="Candidates are tried in order: when one falls p becomes max(p - q, 0), q loses its token, both are"
    " renormalised.",
    points=10,
    needs=("guess by guess",),
    hints=(
        "Look at what the second candidate is held against, once the first has fallen.",
        "It was drawn from q without the first, so that is its q; and what is still missing of p, divided by its sum,"
        " is its p. The first that stands is the answer, whatever stands after it.",
        "p = (p - q).clamp(min=0); p = p / p.sum(-1, keepdim=True); q = q.scatter(1, x, 0); q = q / q.sum(-1,"
        " keepdim=True); a sum of 0 stays 0.",
    ),
)
def siblings_in_turn(context: CheckContext) -> None:
    from graders.checking.random_cases import explore
    from graders.exercises.ex5_speculative_sampling import edge_cases, random_cases

    explore(context, random_cases.siblings, cases=100, moves=4, first=edge_cases.turns)


@LAWS.law(
    "what is left",
    statement="When no candidate stands, next is drawn with v from the p that is left; from the last that was not 0"
    " everywhere, if nothing is.",
    points=5,
    needs=("siblings in turn",),
    hints=(
        "Look at which p is drawn from when all have fallen, and at a p of which nothing is left.",
        "After the last candidate has fallen p is changed once more. 0 / 0 is NaN: remember the last p that had any"
        " weight.",
        "left = where(p.sum(-1, keepdim=True) > 0, p, left) in every turn of the rows that are still open; next ="
        " where(which < 0, drawn(left, v), token).",
    ),
)
def what_is_left(context: CheckContext) -> None:
    from graders.checking.random_cases import explore
    from graders.exercises.ex5_speculative_sampling import edge_cases, random_cases

    explore(context, random_cases.nothing_stands, cases=60, moves=4, first=edge_cases.left_over)


@LAWS.law(
    "rows apart",
    statement="Every row of a batch gets what it would get alone; a batch of none gets empty tensors.",
    points=5,
    needs=("top-p", "the token after", "what is left"),
    hints=(
        "It is right for one row. Look for [0], for a loop that ends when one row ends, for any() over the batch.",
        "Every index into a [B, K, V] tensor needs its row: gather, or arange(B) beside the index.",
        "p[torch.arange(B), count]; sums and maxima with dim=-1; shapes made with B, so that B = 0 is no special case.",
    ),
)
def rows_apart(context: CheckContext) -> None:
    from graders.checking.random_cases import explore
    from graders.exercises.ex5_speculative_sampling import edge_cases, random_cases

    explore(context, random_cases.batch, cases=40, moves=3, first=edge_cases.large_siblings)


@LAWS.law(
    "same distribution",
    statement="Whatever the draft thinks, texts come as often as the large model says them (chi-square, wrong once in a"
    " million).",
    points=5,
    needs=("acceptance rate", "rows apart"),
    hints=(
        "Each rule is right alone. Look at what happens with thousands of rows, and at what one call leaves behind.",
        "Every row has dice of its own, and every guess in it. Nothing is remembered from one call to the next.",
        "No module-level state, no chunks of rows that share u or v, no dtype that is too small for a row's number.",
    ),
)
def same_distribution(context: CheckContext) -> None:
    from graders.exercises.ex5_speculative_sampling import distribution

    distribution.same_distribution(context)


@LAWS.law(
    "same text, fewer passes",
    statement="The real engine with a draft model says the greedy text, and drawn text as often, in fewer passes.",
    points=10,
    kind="engine",
    needs=("same distribution",),
    ahead="speculative_sampling",
    imports="reference_engine.model_loader",
    hints=(
        "The story is of a whole engine. Look for the first token that differs, and at the guesses judged there.",
        "The engine asks `probabilities` for both models, with the request's numbers; greedy requests come with"
        " temperature 0. Requests come and go, and batches of all sizes are judged.",
        "Print draft, q and p of the drafted tokens, u and what you return for the pass before the first wrong token.",
    ),
)
def same_text(context: CheckContext) -> None:
    from graders.exercises.ex5_speculative_sampling import in_engine

    in_engine.same_text(context, cases=20)


add_throughput(
    LAWS,
    statement=CALLS_ALONE,
    needs=("same text, fewer passes",),
    hints=(
        "Look at the figures: which function takes how many times the reference's time, and at which batch.",
        "A function is slow that reads single elements of tensors: each read costs a microsecond, and a batch of "
        "vocabularies has a hundred thousand.",
        "Whole tensors of [B, K, V], a loop over the candidates at most. Sort only where top_p asks for it; copy no "
        "rows that are not changed.",
    ),
)
