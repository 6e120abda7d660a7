"""The laws of lab 4, in reading order. What they need is imported inside: this module is read by
`course list`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graders.registry.law import LawBook

if TYPE_CHECKING:
    from graders.checking.check_context import CheckContext

LAWS = LawBook(exercise="lab4")


@LAWS.law(
    "a chain of guesses",
    statement="tokens_a_pass_chain is 1 + alpha + alpha squared and so on: guess k counts when all up to it stand.",
    points=20,
    hints=(
        "Take two guesses and alpha 1/2, and write the three things down that can happen.",
        "Guess k adds one token when it and all above it stand: alpha to the k. The model's own token comes always.",
        "sum(alpha ** k for k in range(depth + 1)); the closed form divides by 1 - alpha, which may be 0",
    ),
)
def a_chain_of_guesses(context: CheckContext) -> None:
    from graders.checking.random_cases import explore
    from graders.exercises.lab4_speculation import random_cases

    explore(context, random_cases.chain, cases=60, moves=0)


@LAWS.law(
    "a tree of guesses",
    statement="tokens_a_pass_tree is 1 plus, for every node once, how often its whole path stands.",
    points=30,
    hints=(
        "Write the nodes of [(0, 0), (1,)] down, and beside each how often it is kept.",
        "share is given what stands above, so a node is kept with the product along its path. Beginnings are nodes even"
        " where `choices` does not list them, and no node is there twice.",
        "nodes = {c[:d] for c in choices for d in range(1, len(c) + 1)}; 1 + the sum over nodes of the product of"
        " share[node[:d]] for d = 1 .. len(node)",
    ),
)
def a_tree_of_guesses(context: CheckContext) -> None:
    from graders.checking.random_cases import explore
    from graders.exercises.lab4_speculation import random_cases

    explore(context, random_cases.tree, cases=100, moves=5)


@LAWS.law(
    "the best tree",
    statement="best_choices takes the `size` paths that stand most often; of equals the lower tuple.",
    points=30,
    needs=("a tree of guesses",),
    hints=(
        "What does one more node add to the yield of a tree? Which one adds most?",
        "A node adds how often its whole path stands, and that is never more than its parent adds. So the likeliest"
        " paths make the best tree, and it has no gaps.",
        "sorted(share, key=lambda path: (-chance(path), path))[:size]",
    ),
)
def the_best_tree(context: CheckContext) -> None:
    from graders.checking.random_cases import explore
    from graders.exercises.lab4_speculation import random_cases

    explore(context, random_cases.best, cases=120, moves=6)


@LAWS.law(
    "what it is worth",
    statement="speed_up is tokens a pass over the cost of a pass in plain steps.",
    points=10,
    hints=(
        "A plain step yields one token and costs one. What does a pass yield, and what does it cost?",
        "Two tokens a pass at twice the cost gain nothing.",
        "tokens_a_pass / pass_cost",
    ),
)
def what_it_is_worth(context: CheckContext) -> None:
    from graders.checking.random_cases import explore
    from graders.exercises.lab4_speculation import random_cases

    explore(context, random_cases.speed_up, cases=40, moves=0)


@LAWS.law(
    "as the engine counts",
    statement="Your formulas give what counted passes yield, and what the engine expects of its tree and then counts.",
    points=10,
    kind="engine",
    needs=("a chain of guesses", "a tree of guesses", "what it is worth"),
    hints=(
        "The laws before this one hold, so look at what is larger here: trees of a dozen nodes, shares of any size.",
        "The shares in the story were counted in the very passes that yielded the tokens.",
        "Nothing may be rounded, and nothing kept between two calls.",
    ),
)
def as_the_engine_counts(context: CheckContext) -> None:
    from graders.exercises.lab4_speculation import in_engine

    in_engine.as_the_engine_counts(context)
