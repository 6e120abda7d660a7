"""The laws of exercise 4, in reading order. What they need is imported inside: this module is read
by `course list`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graders.registry.law import LawBook
from graders.throughput.laws import add_throughput

if TYPE_CHECKING:
    from graders.checking.check_context import CheckContext

ELSEWHERE = {  # what another engine does by rule, and the contract does not
    "indices of 32 bits": "This is how SGLang and TensorRT-LLM do it, whose indices are int32; here the contract asks "
    "for int64.",
    "copies what is in place": "This is how Medusa does it, which copies all accepted KV; here the contract asks that "
    "moves of what is in its place are dropped.",
}
LAWS = LawBook(exercise=4, elsewhere=ELSEWHERE)


@LAWS.law(
    "tree of choices",
    statement="Every choice and every prefix is a node, once, sorted by (depth, path); parents and ranks fit.",
    points=10,
    hints=(
        "Look at how the nodes are collected and sorted, before any tensor is made.",
        "A set of paths: (0, 2) brings (), (0,) and (0, 2). Sort by (len(path), path), as tuples, not as text.",
        "paths = sorted({c[:d] for c in choices for d in range(len(c) + 1)}, key=lambda p: (len(p), p)); the parent of"
        " a path is the index of path[:-1], its rank is path[-1].",
    ),
)
def tree_of_choices(context: CheckContext) -> None:
    from graders.checking.random_cases import explore
    from graders.exercises.ex4_medusa import edge_cases, random_cases

    edge_cases.named_trees(context)
    explore(context, random_cases.structure, cases=30, moves=6)


@LAWS.law(
    "who sees whom",
    statement="mask[i, j] is True exactly when j is i or an ancestor of i; depth counts the steps below node 0.",
    points=10,
    needs=("tree of choices",),
    hints=(
        "Look at mask and depth of two siblings. They sit at the same position and never see each other.",
        "A node sees itself and all that its parent sees. Depth is the length of its path, never its index.",
        "mask = eye(N); then for i = 1 .. N-1, in order: mask[i] |= mask[parent[i]].",
    ),
)
def who_sees_whom(context: CheckContext) -> None:
    from graders.checking.random_cases import explore
    from graders.exercises.ex4_medusa import edge_cases, random_cases

    explore(context, random_cases.sight, cases=30, moves=6, first=edge_cases.long_sight)


@LAWS.law(
    "refused choices",
    statement="No choice at all, an empty choice, a rank that is negative or no integer: build_tree raises ValueError.",
    points=5,
    hints=(
        "Look at what build_tree does before it begins.",
        "Python slices and negative indices are forgiving: () has no last rank, and rank -1 would be the last guess.",
        "if not choices or any(not c or any(r < 0 or r % 1 for r in c) for c in choices): raise ValueError(...)",
    ),
)
def refused_choices(context: CheckContext) -> None:
    from graders.exercises.ex4_medusa import edge_cases

    edge_cases.refused_choices(context)


@LAWS.law(
    "candidates",
    statement="Node 0 proposes the model's own token; a node of depth d and rank r proposes topk[b, d - 1, r].",
    points=10,
    hints=(
        "Look at which head serves which depth.",
        "Head h guesses the token of position t+1+h. Node 0 is position t+1 and needs no head; depth 1 is head 1, so"
        " topk[:, 0].",
        "torch.cat([root[:, None], topk[:, tree.depth[1:] - 1, tree.rank[1:]]], dim=1)",
    ),
)
def candidates(context: CheckContext) -> None:
    from graders.checking.random_cases import explore
    from graders.exercises.ex4_medusa import edge_cases, random_cases

    explore(context, random_cases.candidates, cases=30, moves=5, first=edge_cases.large_proposals)


@LAWS.law(
    "refused guesses",
    statement="A tree deeper than the H heads, or a rank that is not among the K guesses: propose raises ValueError.",
    points=5,
    needs=("candidates",),
    hints=(
        "Look at what propose checks before it indexes.",
        "Rank K is the first that does not exist, depth H the last that does. The deepest node need not have the"
        " largest rank.",
        "if tree.depth.max() > H or tree.rank.max() >= K: raise ValueError(...)",
    ),
)
def refused_guesses(context: CheckContext) -> None:
    from graders.exercises.ex4_medusa import edge_cases

    edge_cases.refused_guesses(context)


@LAWS.law(
    "one pass",
    statement="One pass over the tree gives every node what its path, run alone, would have given it.",
    points=5,
    needs=("who sees whom",),
    hints=(
        "The tree is right when it is small. Look at what happens with more nodes, and with ranks of two digits.",
        "What a node sees decides what the model says after it: all that is on its path, nothing beside it.",
        "Integers of 64 bits hold 64 nodes; texts sort '10' before '2'. Tensors and tuples do neither.",
    ),
)
def one_pass(context: CheckContext) -> None:
    from graders.checking.random_cases import explore
    from graders.exercises.ex4_medusa import edge_cases, random_cases

    explore(context, random_cases.large, cases=12, moves=8, first=edge_cases.large_trees)


@LAWS.law(
    "greedy walk",
    statement="From node 0, step to the child whose token equals argmax at the node you stand on, until none does.",
    points=10,
    hints=(
        "Look at which row of argmax a child is compared with, and at which node `next` is read.",
        "argmax[i] is what the model wants after node i: compare a child with argmax at its parent; next is argmax at"
        " the node where the walk ended. Token 0 is a token, an index of 0 is no end mark.",
        "at = 0; repeat: child = lowest j with parent[j] == at and tokens[j] == argmax[at]; none: stop; at = child.",
    ),
)
def greedy_walk(context: CheckContext) -> None:
    from graders.checking.random_cases import explore
    from graders.exercises.ex4_medusa import edge_cases, random_cases

    explore(context, random_cases.walk, cases=70, moves=6, first=edge_cases.large_walks)


@LAWS.law(
    "typical acceptance",
    statement="A node stands when p(token) at its parent > min(epsilon, delta exp(-H)); the longest path wins.",
    points=10,
    needs=("greedy walk",),
    hints=(
        "Look at where p is read, and which way the bar moves when the model is unsure.",
        "p = softmax(logits / temperature) at the PARENT; H = -sum(p ln p) there. Large H, low bar. A path stands when"
        " each of its nodes does; equally long ones are ranked by the sum of ln p of their tokens.",
        "stands[j] = p[parent[j], token[j]] > minimum(epsilon, delta * exp(-H[parent[j]])); stands[0] = True; a path"
        " stands when (stands | ~mask[j]).all().",
    ),
)
def typical_acceptance(context: CheckContext) -> None:
    from graders.checking.random_cases import explore
    from graders.exercises.ex4_medusa import edge_cases, random_cases

    edge_cases.winners(context)
    edge_cases.bars_apart(context)
    edge_cases.unlikely_paths(context)
    explore(context, random_cases.plausible, cases=90, moves=5, first=edge_cases.large_verdicts)


@LAWS.law(
    "typical edges",
    statement="Temperature 0 is greedy, -inf has p = 0, p at the bar does not stand; NaN harms nobody off the path and "
    "is refused where it ends, as are numbers of the rule below 0.",
    points=5,
    needs=("typical acceptance",),
    hints=(
        "Look for 0 * -inf, for a division by temperature 0, and for a NaN that spreads to a neighbour.",
        "0 ln 0 is 0. Comparing with NaN is False, a sum with NaN is NaN. With a generator, draw where the path ends.",
        "torch.special.entr(p).sum(-1); torch.where(mask, log_p, 0), not mask * log_p; torch.multinomial(p_end, 1,"
        " generator=generator); temperature 0: verify_greedy(tree, tokens, logits.argmax(-1)), -1 said after a node"
        " whose logits are NaN, and refused where the path ends at one.",
    ),
)
def typical_edges(context: CheckContext) -> None:
    from graders.checking.random_cases import explore
    from graders.exercises.ex4_medusa import edge_cases, random_cases

    edge_cases.bars(context)
    edge_cases.near(context)
    edge_cases.holes(context)
    edge_cases.refused_rules(context)
    explore(context, random_cases.wounded, cases=40, moves=4)
    edge_cases.draws(context)


@LAWS.law(
    "compaction",
    statement="The i-th accepted node moves from slots[b, nodes[b, i]] to slots[b, i]; moves onto itself are dropped.",
    points=10,
    hints=(
        "Look at what -1 picks out of slots, and at what happens to node 0.",
        "Only guesses that were accepted move; node 0 is in its place already. All reads come before all writes, so one"
        " move per accepted node is enough, whatever overlaps.",
        "a = nodes[:, 1:]; src = slots.gather(1, a.clamp(min=0)); dst = slots[:, 1 : 1 + D]; keep those with (a > 0)"
        " and (src != dst).",
    ),
)
def compaction(context: CheckContext) -> None:
    from graders.checking.random_cases import explore
    from graders.exercises.ex4_medusa import edge_cases, random_cases

    explore(context, random_cases.moves, cases=40, moves=6, first=edge_cases.large_moves)


@LAWS.law(
    "rows apart",
    statement="Every row of a batch gets what it would get alone; a batch of none gets empty tensors.",
    points=5,
    needs=("candidates", "greedy walk", "compaction"),
    hints=(
        "It is right for one row. Look for [0], for a loop that ends when one row ends, for any() over the batch.",
        "Every index into a [B, N] tensor needs its row: gather(1, ...), or arange(B)[:, None] beside the node index.",
        "argmax.gather(1, at[:, None]); slots.gather(1, nodes); shapes made with B, so that B = 0 is no special case.",
    ),
)
def rows_apart(context: CheckContext) -> None:
    from graders.checking.random_cases import explore
    from graders.exercises.ex4_medusa import edge_cases, random_cases

    explore(context, random_cases.batch, cases=25, moves=4, first=edge_cases.large_batches)


@LAWS.law(
    "greedy text",
    statement="Whatever the heads say, the text is greedy decoding's; perfect ones need ceil(n / (D + 1)) passes.",
    points=5,
    needs=("one pass", "candidates", "greedy walk", "compaction", "rows apart"),
    hints=(
        "Each function is right alone. Look at what survives from one call to the next, and at whom the KV belongs to.",
        "After a pass the slots of the accepted tokens must hold the KV of exactly these tokens, and nothing may be"
        " remembered: trees, batches and requests change from call to call.",
        "No module-level state, no caching by shape or id; next is argmax at the last accepted node; count + 1 tokens a"
        " pass.",
    ),
)
def greedy_text(context: CheckContext) -> None:
    from graders.checking.random_cases import explore
    from graders.exercises.ex4_medusa import random_cases

    explore(context, random_cases.text, cases=30, moves=4, first=random_cases.served_together)


@LAWS.law(
    "same text, fewer passes",
    statement="The real engine with your verification emits exactly the greedy text, in k times fewer passes.",
    points=10,
    kind="engine",
    needs=("greedy text",),
    ahead="medusa",
    imports="reference_engine.model_loader",
    hints=(
        "The story is of a whole engine. Look for the first token that differs, and at the tree verified there.",
        "Requests come and go, are preempted and resume; their trees share a batch and a pool, no more. A guess past"
        " the end of an answer is cut by the scheduler: your part need not know EOS or max_new.",
        "Print tree, tokens and argmax of the pass before the first wrong token and follow verify_greedy by hand; then"
        " see whether `compact` named each accepted node once.",
    ),
)
def same_text(context: CheckContext) -> None:
    from graders.exercises.ex4_medusa import in_engine

    in_engine.same_text(context, cases=20)


def _tree_of_calls(context: CheckContext) -> list[object]:
    from graders.exercises.ex4_medusa import random_cases

    return [random_cases.tree_of_calls(context.seed)]


add_throughput(
    LAWS,
    given=_tree_of_calls,
    needs=("same text, fewer passes",),
    hints=(
        "Look at the figures: which function takes how many times the reference's time, and at which batch.",
        "An engine is slow through verification that accepts less than the longest right path; a function is slow that "
        "reads single elements of tensors: each read costs a microsecond, and a batch has thousands.",
        "Compare whole tensors, in a loop over the depths of the tree at most; or call tolist() once for each "
        "tensor and walk plain lists. Nothing in a loop over rows or nodes may touch a tensor.",
    ),
)
