"""The laws of lab 1, in reading order. What they need is imported inside: this module is read by
`course list`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graders.registry.law import LawBook

if TYPE_CHECKING:
    from graders.checking.check_context import CheckContext

LAWS = LawBook(exercise="lab1")


@LAWS.law(
    "every weight",
    statement="parameters counts embedding, seven matrices a layer, all norms and the LM head; a tied one once.",
    points=15,
    hints=(
        "Write the tensors of one layer down, with rows and columns, and look which of them your sum has.",
        "Queries are heads * head_width wide, keys and values kv_heads * head_width, and neither need be the width of"
        " the model. Two norms a layer, one behind the last.",
        "layer = width * (2 * H + 2 * K + 3 * inner) + 2 * width; layers * layer + width + vocab * width * (1 if tied"
        " else 2)",
    ),
)
def every_weight(context: CheckContext) -> None:
    from graders.checking.random_cases import explore
    from graders.exercises.lab1_prefill_decode import random_cases

    explore(context, random_cases.parameters, cases=60, moves=0)


@LAWS.law(
    "what a token leaves",
    statement="kv_bytes_per_token is a key and a value for each head of keys and values, in every layer.",
    points=10,
    hints=(
        "Ask which heads have keys of their own.",
        "Several heads of queries share one of keys: that is what grouped-query attention saves.",
        "2 * layers * kv_heads * head_width * bytes_per_value",
    ),
)
def what_a_token_leaves(context: CheckContext) -> None:
    from graders.checking.random_cases import explore
    from graders.exercises.lab1_prefill_decode import random_cases

    explore(context, random_cases.kv_bytes, cases=40, moves=0)


@LAWS.law(
    "the price of reading",
    statement="operations is 2 a weight of every layer for each token, 4 a query number for each pair of tokens that "
    "see each other, and one LM head.",
    points=20,
    hints=(
        "Take one layer, one head and two new tokens, and count by hand. Then add a cached token.",
        "Token i sees context + i + 1 tokens, itself among them: the sum over i is n * context + n * (n + 1) / 2. Every"
        " head of queries compares and mixes, whoever owns the keys.",
        "2 * layers * W * n + 4 * layers * H * (n * context + n * (n + 1) // 2) + 2 * width * vocab, where W is the"
        " number of weights in a layer's matrices",
    ),
)
def the_price_of_reading(context: CheckContext) -> None:
    from graders.checking.random_cases import explore
    from graders.exercises.lab1_prefill_decode import random_cases

    explore(context, random_cases.operations, cases=80, moves=0)


@LAWS.law(
    "the price of writing",
    statement="decode_bytes reads all matrices, norms and the LM head once, a row of the embedding and the cached KV "
    "for each request, and writes one token's KV each.",
    points=20,
    hints=(
        "Ask of each tensor: is it read once a step, or once a request? And what is written?",
        "A batch shares the weights and nothing else. Of the embedding a request needs one row; the LM head is a whole"
        " matrix, and has to be read even where it is tied to the embedding.",
        "(layers * W + vocab * width + width * (2 * layers + 1) + n * width) * b + (sum(contexts) + n) * kv_bytes_per"
        "_token(shape, b)",
    ),
)
def the_price_of_writing(context: CheckContext) -> None:
    from graders.checking.random_cases import explore
    from graders.exercises.lab1_prefill_decode import random_cases

    explore(context, random_cases.decode_bytes, cases=80, moves=6)


@LAWS.law(
    "the floor",
    statement="floor_seconds is the longer of the two times, operations over peak and bytes over bandwidth.",
    points=10,
    hints=(
        "A step cannot end before its arithmetic has, nor before its bytes have come.",
        "Both go on at the same time, so the times are not added: whichever is longer hides the other.",
        "max(operations / peak, bytes_moved / bandwidth)",
    ),
)
def the_floor(context: CheckContext) -> None:
    from graders.checking.random_cases import explore
    from graders.exercises.lab1_prefill_decode import random_cases

    explore(context, random_cases.floor, cases=60, moves=0)


@LAWS.law(
    "where they meet",
    statement="break_even_batch is the smallest batch whose arithmetic takes at least as long as its memory, or None.",
    points=15,
    needs=("the price of reading", "the price of writing"),
    hints=(
        "Draw both times over the batch: two straight lines, one through the origin. Do they always meet?",
        "A further request adds operations(shape, 1, context) to one line, and its row and its KV to the other. If the"
        " second grows as fast, no batch is large enough: None, and a loop that looks for one never ends.",
        "fixed = bytes of a step without its requests; won = each_operations * bandwidth - each_bytes * peak; None if"
        " won <= 0, else max(1, ceil(fixed * peak / won))",
    ),
)
def where_they_meet(context: CheckContext) -> None:
    from graders.checking.random_cases import explore
    from graders.exercises.lab1_prefill_decode import random_cases

    explore(context, random_cases.break_even, cases=80, moves=0)


@LAWS.law(
    "as the engine counts",
    statement="Your formulas give what the engine itself has: the weights in its files, the operations of its "
    "roofline, the bytes of its KV pool.",
    points=10,
    kind="engine",
    needs=("every weight", "what a token leaves", "the price of reading", "the price of writing"),
    hints=(
        "The laws before this one hold, so look at what is special about this model: sizes, tied or not.",
        "The story names the shape. Count its tensors by hand and compare with config.json beside the weights.",
        "A formula that is right for all shapes is right for this one: does one of yours remember an earlier call?",
    ),
)
def as_the_engine_counts(context: CheckContext) -> None:
    from graders.exercises.lab1_prefill_decode import in_engine

    in_engine.as_the_engine_counts(context)
