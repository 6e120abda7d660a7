"""The laws of lab 3, in reading order. What they need is imported inside: this module is read by
`course list`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graders.registry.law import LawBook

if TYPE_CHECKING:
    from graders.checking.check_context import CheckContext

LAWS = LawBook(exercise="lab3")


@LAWS.law(
    "loose sheets",
    statement="held_paged gives whole blocks to one conversation after the other until one does not fit; block 0 is no "
    "one's.",
    points=20,
    hints=(
        "Look at a length that fills its blocks exactly, and at how many blocks there are to give.",
        "ceil(length / block_size) blocks each, of num_blocks - 1. The first that does not fit ends it.",
        "free -= -(-length // block_size); if free < 0: return how many came before",
    ),
)
def loose_sheets(context: CheckContext) -> None:
    from graders.checking.random_cases import explore
    from graders.exercises.lab3_batching_memory import random_cases

    explore(context, random_cases.held_paged, cases=100, moves=8)


@LAWS.law(
    "bound notebooks",
    statement="held_contiguous gives `reserve` slots to each, used or not, as long as so many are left.",
    points=10,
    hints=(
        "Does it matter how long a conversation really is?",
        "The memory holds num_slots // reserve notebooks, and there may be fewer conversations than that.",
        "min(len(lengths), num_slots // reserve)",
    ),
)
def bound_notebooks(context: CheckContext) -> None:
    from graders.checking.random_cases import explore
    from graders.exercises.lab3_batching_memory import random_cases

    explore(context, random_cases.held_contiguous, cases=60, moves=8)


@LAWS.law(
    "the last sheet",
    statement="wasted_share is the slots without a token over all slots of the blocks, of all conversations together.",
    points=15,
    hints=(
        "Look at what is divided by what, and at a call without conversations.",
        "Only the last block has empty slots, at most block_size - 1, none if it is full. Add up first"
        " and divide once, by what is reserved.",
        "reserved = sum(-(-n // block_size) for n in lengths) * block_size; (reserved - sum(lengths)) / reserved",
    ),
)
def the_last_sheet(context: CheckContext) -> None:
    from graders.checking.random_cases import explore
    from graders.exercises.lab3_batching_memory import random_cases

    explore(context, random_cases.wasted, cases=80, moves=6)


@LAWS.law(
    "the laid table",
    statement="steps_static serves batches in order; each takes as many steps as its longest answer has tokens.",
    points=15,
    hints=(
        "Write the batches down, with the longest of each. The last batch may not be full.",
        "Reading the prompts is a step that says the first token, so an answer of n tokens takes n steps.",
        "sum(max(answers[i:i + seats]) for i in range(0, len(answers), seats))",
    ),
)
def the_laid_table(context: CheckContext) -> None:
    from graders.checking.random_cases import explore
    from graders.exercises.lab3_batching_memory import random_cases

    explore(context, random_cases.static, cases=80, moves=8)


@LAWS.law(
    "the moving belt",
    statement="steps_continuous gives the seat that is free first to the next in line, in the step after it fell free.",
    points=20,
    hints=(
        "Draw a line for each seat, and put answers on it in order.",
        "The next in line takes the seat that is free earliest. The end is when the last seat is left, which"
        " need not be the seat of the last guest.",
        "free = [0] * seats; for each answer: at = free.index(min(free)); free[at] += answer; then max(free)",
    ),
)
def the_moving_belt(context: CheckContext) -> None:
    from graders.checking.random_cases import explore
    from graders.exercises.lab3_batching_memory import random_cases

    explore(context, random_cases.continuous, cases=100, moves=8)


@LAWS.law(
    "who is in the room",
    statement="requests_in_flight is how many come a second times how many seconds each stays.",
    points=10,
    hints=(
        "Four come a second, and each stays for two seconds: how many do you meet?",
        "Twice as many come, or each stays twice as long: twice as many are there.",
        "rate * seconds_each",
    ),
)
def who_is_in_the_room(context: CheckContext) -> None:
    from graders.checking.random_cases import explore
    from graders.exercises.lab3_batching_memory import random_cases

    explore(context, random_cases.little, cases=40, moves=0)


@LAWS.law(
    "as the engine counts",
    statement="The counts are those of the course's own parts: block managers that admit, schedulers that take steps.",
    points=10,
    kind="engine",
    needs=("loose sheets", "bound notebooks", "the laid table", "the moving belt"),
    hints=(
        "The laws before this one hold, so look at what is larger here: dozens of guests, long answers.",
        "The story is one call. Shorten its list until you can draw it by hand.",
        "Nothing may be kept between two calls, and nothing cut off: lists may be of any length.",
    ),
)
def as_the_engine_counts(context: CheckContext) -> None:
    from graders.exercises.lab3_batching_memory import in_engine

    in_engine.as_the_engine_counts(context)
