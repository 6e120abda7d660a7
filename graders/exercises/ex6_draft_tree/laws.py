"""The laws of exercise 6, in reading order. What they need is imported inside: this module is read
by `course list`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graders.registry.law import LawBook

if TYPE_CHECKING:
    from graders.checking.check_context import CheckContext

LAWS = LawBook(exercise=6)


@LAWS.law(
    "candidates appended",
    statement=(
        "grow leaves what there is and appends K guesses after each chosen candidate, in the order of chosen."
    ),
    points=10,
    hints=(
        "Look at the order in which W times K guesses become one row, and at whose children they are.",
        "topk_token is [B, W, K]: flattened from dimension 1 on it is in order already. Each entry"
        " of chosen is the parent of K candidates in a row.",
        "token = cat([growth.token, topk_token.flatten(1)], 1); parent = cat([growth.parent, "
        "chosen[:, :, None].expand(B, W, K).flatten(1)], 1).",
    ),
)
def candidates_appended(context: CheckContext) -> None:
    from graders.checking.random_cases import explore
    from graders.exercises.ex6_draft_tree import fixed_cases, random_cases

    explore(context, random_cases.appended, cases=60, moves=4, first=fixed_cases.large_growths)


@LAWS.law(
    "path values",
    statement=(
        "A candidate's value is its parent's plus its own logprob, its depth is its parent's plus 1; the root has 0."
    ),
    points=10,
    needs=("candidates appended",),
    hints=(
        "Look at what is read from the growth for a chosen candidate, and at the root, which is in no tensor.",
        "value[b, chosen[b, w]] is the path so far, and needs its row: gather(1, chosen). The "
        "root's value and depth are 0; index -1 would be the last candidate. Keep the dtype that "
        "came in.",
        "padded = cat([zeros of [B, 1], growth.value], 1); above = padded.gather(1, chosen + 1); "
        "value = above[:, :, None] + topk_logprob.",
    ),
)
def path_values(context: CheckContext) -> None:
    from graders.checking.random_cases import explore
    from graders.exercises.ex6_draft_tree import fixed_cases, random_cases

    explore(context, random_cases.values, cases=60, moves=4, first=fixed_cases.fine_values)


@LAWS.law(
    "surest first",
    statement=(
        "frontier gives the candidates of that depth with the highest value, highest first, equals by lower index."
    ),
    points=15,
    hints=(
        "Look at what becomes of candidates of other depths, and of equal values.",
        "topk promises no order among equals; a stable sort does. What is set to -inf to be out of"
        " the way is equal to a candidate whose value is -inf.",
        "best = value.sort(dim=1, descending=True, stable=True).indices; then bring those of the "
        "depth to the front, in this order: sort depth.gather(1, best) != depth, stable; take "
        "width of them.",
    ),
)
def surest_first(context: CheckContext) -> None:
    from graders.checking.random_cases import explore
    from graders.exercises.ex6_draft_tree import fixed_cases, random_cases

    explore(context, random_cases.surest, cases=100, moves=4, first=fixed_cases.hard_frontiers)


@LAWS.law(
    "kept nodes",
    statement=(
        "rerank keeps the root and the size - 1 highest values, equals by lower index, sorted by (depth, creation)."
    ),
    points=15,
    hints=(
        "Look at the order of the nodes, and at what numbers stand in parent.",
        "Three numberings meet: the place by value, the index of a candidate, the number of a "
        "node. A child that equals its parent comes after it, since its index is higher: so ties "
        "go to the lower index.",
        "kept = the first size - 1 of the stable sort, sorted by index, then stable by depth; node"
        " = zeros(B, M + 1); node.scatter_(1, kept + 1, 1 .. size - 1); parent = node.gather(1, "
        "growth.parent.gather(1, kept) + 1).",
    ),
)
def kept_nodes(context: CheckContext) -> None:
    from graders.checking.random_cases import explore
    from graders.exercises.ex6_draft_tree import fixed_cases, random_cases

    explore(context, random_cases.kept, cases=100, moves=4, first=fixed_cases.hard_trees)


@LAWS.law(
    "who sees whom",
    statement=(
        "mask[b, i, j] is True exactly when, in the tree of row b, node j is node i or an ancestor of i."
    ),
    points=10,
    needs=("kept nodes",),
    hints=(
        "Look at a node of depth 3: it sees four nodes, itself and the root among them.",
        "A node sees itself and all that its parent sees; parents come before their children.",
        "mask = eye(N) for each row; as often as the tree is deep: mask |= mask.gather(1, "
        "parent.clamp(min=0)[:, :, None].expand(B, N, N)).",
    ),
)
def who_sees_whom(context: CheckContext) -> None:
    from graders.checking.random_cases import explore
    from graders.exercises.ex6_draft_tree import fixed_cases, random_cases

    explore(context, random_cases.sight, cases=60, moves=4, first=fixed_cases.hard_masks)


@LAWS.law(
    "refused",
    statement=(
        "A width or a size beyond what there is, a chosen index that is no candidate, a logprob above 0: ValueError."
    ),
    points=5,
    hints=(
        "Look at what each function checks before it begins, in every row.",
        "A row may have fewer candidates of a depth than another. Index M is the first that does "
        "not exist; -1 is the root and nothing is below it. A slice that is too long is silently "
        "short.",
        "if ((growth.depth == depth).sum(1) < width).any(): raise ValueError(...), and so on for "
        "each sentence of the contract.",
    ),
)
def refused(context: CheckContext) -> None:
    from graders.exercises.ex6_draft_tree import fixed_cases

    fixed_cases.refused(context)


@LAWS.law(
    "rows apart",
    statement=(
        "Every row has a tree of its own, the one that it would have alone; a batch of none gets empty tensors."
    ),
    points=10,
    needs=("candidates appended", "surest first", "kept nodes"),
    hints=(
        "It is right for one row. Look for [0], and for a sort or a maximum over the whole batch.",
        "Values differ from row to row, so what is kept does, and parents, depths and masks with "
        "it: all of them are [B, N].",
        "Every index into [B, M] needs its row: gather(1, ...) and scatter(1, ...). max() of "
        "nothing raises: B may be 0.",
    ),
)
def rows_apart(context: CheckContext) -> None:
    from graders.checking.random_cases import explore
    from graders.exercises.ex6_draft_tree import fixed_cases, random_cases

    explore(context, random_cases.batch, cases=40, moves=3, first=fixed_cases.large_batches)


@LAWS.law(
    "best of its size",
    statement=(
        "Grown and reranked by your functions in turn, no tree of that size lets more guesses be expected to stand."
    ),
    points=5,
    needs=("path values", "surest first", "kept nodes"),
    hints=(
        "Each function is right alone. Look at what one of them leaves behind for the next call.",
        "The expected number of guesses that stand is the sum of exp(value) of those kept. Nothing"
        " may be remembered: the next call is about another growth.",
        "No module-level state, no caching by shape, no tensor handed out that is changed later.",
    ),
)
def best_of_its_size(context: CheckContext) -> None:
    from graders.checking.random_cases import explore
    from graders.exercises.ex6_draft_tree import random_cases

    explore(context, random_cases.best, cases=40, moves=4)


@LAWS.law(
    "one pass",
    statement=(
        "One pass over each row's tree gives every node what its path, run alone, would have given it."
    ),
    points=5,
    needs=("who sees whom", "rows apart"),
    hints=(
        "The tree is right when it is small. Look at what happens with hundreds of nodes.",
        "Integers of 64 bits hold 64 nodes, bytes count to 127; a path may be longer than any drafter's today.",
        "Tensors of bool and int64 for everything; repeat what a node learns from its parent until the deepest knows.",
    ),
)
def one_pass(context: CheckContext) -> None:
    from graders.checking.random_cases import explore
    from graders.exercises.ex6_draft_tree import fixed_cases, random_cases

    explore(context, random_cases.large, cases=8, moves=5, first=fixed_cases.large_trees)


@LAWS.law(
    "in proportion",
    statement=(
        "Four times as many candidates, or cells of the mask, take no more than about four times the bytecode "
        "instructions of your own code."
    ),
    points=5,
    needs=("path values", "surest first", "kept nodes", "who sees whom"),
    hints=(
        "Look at the figures: which function grows faster than what it is given.",
        "A loop over candidates is fine; a search through all of them inside it is not. Nor is a "
        "walk to the root for each cell of the mask.",
        "Work on whole tensors: the count does not change with their size. In plain Python: sort "
        "once, and number the kept candidates in a dict.",
    ),
)
def in_proportion(context: CheckContext) -> None:
    from graders.exercises.ex6_draft_tree import counted_work

    counted_work.in_proportion(context)


@LAWS.law(
    "same text, more tokens a pass",
    statement=(
        "The real engine verifies the trees that your functions grow of EAGLE's guesses: the greedy text, exactly, and "
        "more tokens a pass than Medusa's tree of as many nodes."
    ),
    points=10,
    kind="engine",
    needs=("rows apart", "best of its size", "one pass"),
    ahead="draft_tree",
    imports="reference_engine.model_loader",
    hints=(
        "The story is of a whole engine. Look at the tree in the step before the first token that differs; where"
        " the text is right and passes are many, at what was kept.",
        "Every step brings another growth: other tokens, other values, another tree. A tree whose"
        " mask, depths and tokens belong together can only cost passes, never text. EAGLE's layer is right nine times"
        " in ten: the surest path is worth more than many short ones.",
        "Print growth and tree of that step, and compare parent, depth and mask by hand with the table of the lesson.",
    ),
)
def same_text(context: CheckContext) -> None:
    from graders.exercises.ex6_draft_tree import in_engine

    in_engine.same_text(context, cases=12)
