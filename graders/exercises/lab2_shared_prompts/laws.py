"""The laws of lab 2, in reading order. What they need is imported inside: this module is read by
`course list`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graders.registry.law import LawBook

if TYPE_CHECKING:
    from graders.checking.check_context import CheckContext

LAWS = LawBook(exercise="lab2")


@LAWS.law(
    "the photocopier",
    statement="pages_printed prints the common pages once if they are cached, else for every contract.",
    points=10,
    hints=(
        "Count by hand: 2 common pages, 1 own page, 3 contracts, with the photocopier and without.",
        "Own pages are printed for each contract either way.",
        "shared * (1 if cached else contracts) + own * contracts",
    ),
)
def the_photocopier(context: CheckContext) -> None:
    from graders.checking.random_cases import explore
    from graders.exercises.lab2_shared_prompts import random_cases

    explore(context, random_cases.pages, cases=40, moves=0)


@LAWS.law(
    "shared in whole blocks",
    statement="A prompt computes what follows the longest beginning of whole blocks that an earlier prompt has stored.",
    points=20,
    hints=(
        "Take block size 4 and two prompts that share 6 tokens: how many does the second compute?",
        "A block counts when it and all before it are equal: the same four tokens behind another beginning are another"
        " block. A tail that fills no block is stored nowhere.",
        "stored is a set of tuples prompt[:end], end a multiple of block_size; walk up while prompt[:end] is stored.",
    ),
)
def shared_in_whole_blocks(context: CheckContext) -> None:
    from graders.checking.random_cases import explore
    from graders.exercises.lab2_shared_prompts import random_cases

    explore(context, random_cases.whole_blocks, cases=80, moves=6)


@LAWS.law(
    "the last token",
    statement="The last token of a prompt is always computed: what is found is the match of all tokens but the last.",
    points=15,
    needs=("shared in whole blocks",),
    hints=(
        "Serve the same prompt twice, with a length that is a multiple of the block size.",
        "What the model says next comes out of the last token, so it has to pass. The engine looks up prompt[:-1]: then"
        " the whole last block is computed again.",
        "match only prefixes of prompt[:-1]; store those of prompt.",
    ),
)
def the_last_token(context: CheckContext) -> None:
    from graders.checking.random_cases import explore
    from graders.exercises.lab2_shared_prompts import random_cases

    explore(context, random_cases.last_token, cases=80, moves=5)


@LAWS.law(
    "only so much room",
    statement="After each prompt the least recently touched blocks that end a path go, until `capacity` are left.",
    points=25,
    needs=("the last token",),
    hints=(
        "Write down after each prompt which blocks are stored, and when each was touched last.",
        "All blocks of a prompt are touched when it is stored, old ones too. A block goes only if no stored block"
        " continues it, so texts are forgotten from their ends; capacity 0 keeps nothing.",
        "touched[prefix] = tick for all prefixes of the prompt; while too many: delete min(touched, key=lambda p:"
        " (touched[p], -len(p))).",
    ),
)
def only_so_much_room(context: CheckContext) -> None:
    from graders.checking.random_cases import explore
    from graders.exercises.lab2_shared_prompts import random_cases

    explore(context, random_cases.room, cases=150, moves=16)


@LAWS.law(
    "hit rate",
    statement="hit_rate is cached tokens over prompt tokens, of all prompts together; 0.0 of none.",
    points=10,
    needs=("only so much room",),
    hints=(
        "Look at what is divided by what, and at a call without prompts.",
        "A long prompt weighs more than a short one: add up tokens first and divide once.",
        "tokens = sum(map(len, prompts)); (tokens - computed_tokens(prompts, block_size, capacity)) / tokens",
    ),
)
def hit_rate(context: CheckContext) -> None:
    from graders.checking.random_cases import explore
    from graders.exercises.lab2_shared_prompts import random_cases

    explore(
        context, random_cases.hit_rate, cases=60, moves=5, first=random_cases.unbounded_hit_rate
    )


@LAWS.law(
    "any sequence",
    statement="Prompts may be lists, tuples or ranges of ints of any size, in any mixture, and stay as they were.",
    points=10,
    needs=("hit rate",),
    hints=(
        "Look at where a prompt is compared, or used as a key.",
        "[1, 2] == (1, 2) is False, and a slice of a list is no key. The sum or the hash of tokens is no key either.",
        "prompt = tuple(prompt), first thing.",
    ),
)
def any_sequence(context: CheckContext) -> None:
    from graders.checking.random_cases import explore
    from graders.exercises.lab2_shared_prompts import random_cases

    explore(context, random_cases.forms, cases=80, moves=5)


@LAWS.law(
    "as the engine counts",
    statement="computed_tokens is what the course's own scheduler and prefix cache compute, token for token.",
    points=10,
    kind="engine",
    needs=("the photocopier", "any sequence"),
    hints=(
        "The laws before this one hold, so look at what is larger here: blocks of 16, prompts of a hundred tokens.",
        "The engine's own parts served these very prompts. Shorten the list in the story until both agree.",
        "Nothing may be kept between two calls: every call begins with an empty cache.",
    ),
)
def as_the_engine_counts(context: CheckContext) -> None:
    from graders.exercises.lab2_shared_prompts import in_engine

    in_engine.as_the_engine_counts(context)
