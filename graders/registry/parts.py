"""The one table of exercises: which file a learner writes, which slot of the engine it fills, where
it is used.

Whoever needs to know that an exercise is special reads it here; no other module names exercises one
by one.
"""

from __future__ import annotations

from dataclasses import dataclass

from graders.result import Number as Number


@dataclass(frozen=True, slots=True)
class Part:
    """What a learner writes for one exercise.

    slug: folder name under exercises/, solutions/ and graders/exercises/. class_name: the class the
    file must define; empty when the part is a module of functions. functions: those of a lab.
    """

    number: Number
    name: str
    slug: str
    slot: str
    class_name: str = ""
    functions: tuple[str, ...] = ()
    torch: bool = False
    """The part is written with torch: its workers may read installed packages."""
    needs: str = ""
    """A package that the default install may lack, without which the part cannot be tried."""
    simulated: bool = False
    """The slot takes part in the engine without a model, where a naive part or a fake stands in for it."""
    timed_in: str = ""
    """Which timed engines hold the part: "every" one, or those of workloads that are "cached", "guessed" (by heads) or
    "drafted" (by a small model)."""
    guesser: str = ""
    """Who guesses where the engine holds the part: "heads", "model" (a small one), or "layer", whose guesses the part
    of the "heads" verifies. Its slot stays empty unless a part for it is named: without it nothing is guessed."""
    around: float = 0.5
    """Of what a step of a timed engine costs around its pass, so much is not the part's at least. The reference's parts
    of exercises 1 to 3 are 3, 11 and 17 % of it; that of 4, with what it calls in torch, is estimated at 30 %."""
    calls: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Calls of the part that are timed alone, in named groups whose times add up because they are made together."""
    size: str = ""
    """What the size of timed calls counts."""
    drawing: str = ""
    """The module of `course/drawings/` whose `show` draws what the part does."""
    drawn: str = ""
    """What is seen there."""

    @property
    def file_name(self) -> str:
        return f"{self.slot}.py"

    @property
    def short(self) -> str:
        """The beginning of its folders' names: "ex1", "lab1"."""
        return self.slug.partition("_")[0]

    @property
    def title(self) -> str:
        """As sentences call it: "exercise 1", "lab 1"."""
        return titled(self.number)


PARTS = (
    Part(
        *(1, "paged allocation", "ex1_paged_allocation", "block_manager"),
        class_name="BlockManager",
        simulated=True,
        timed_in="every",
        around=0.8,
        calls=(("sequences", ("admit, extend, table and free",)),),
        size="{} sequences",
        drawing="block_table",
        drawn="the block tables and the pool, call by call",
    ),
    Part(
        *(2, "continuous batching", "ex2_batching_scheduler", "scheduler"),
        class_name="Scheduler",
        simulated=True,
        timed_in="every",
        around=0.7,
        calls=(("steps", ("plan and commit",)),),
        size="{} requests",
        drawing="timeline",
        drawn="the timeline: who prefills, decodes, waits, is preempted",
    ),
    Part(
        *(3, "prefix cache", "ex3_prefix_cache", "prefix_cache"),
        class_name="PrefixCache",
        simulated=True,
        timed_in="cached",
        around=0.65,
        calls=(("chats", ("match, insert and evict",)),),
        size="{} requests",
        drawing="radix_tree",
        drawn="the radix tree as the part's answers show it: blocks, locks, what goes next",
    ),
    Part(
        *(4, "Medusa verification", "ex4_medusa", "medusa"),
        torch=True,
        timed_in="guessed",
        guesser="heads",
        around=0.6,
        calls=(("pass", ("propose", "verify_greedy", "compact")), ("typical", ("verify_typical",))),
        size="batch {}",
        drawing="guess_tree",
        drawn="the guess tree of a real step: what was guessed, what stood",
    ),
    Part(
        *(5, "speculative sampling", "ex5_speculative_sampling", "speculative_sampling"),
        torch=True,
        timed_in="drafted",
        guesser="model",
        calls=(("chain", ("probabilities", "accept_chain")), ("siblings", ("accept_siblings",))),
        size="batch {}",
        drawing="guess_chain",
        drawn="a chain of guesses: what stood, what fell, what was drawn instead, and how often",
    ),
    Part(
        *(6, "draft tree of EAGLE", "ex6_draft_tree", "draft_tree"),
        torch=True,
        guesser="layer",
        drawing="draft_tree",
        drawn="the draft tree of a real step: what grew, what was kept, what stood",
    ),
    Part(
        *(7, "paged attention kernel", "ex7_paged_attention", "paged_attention"),
        torch=True,
        needs="triton",
        drawing="kernel_reads",
        drawn="blocks and slots: which program of the kernel reads which, and what nobody may read",
    ),
    Part(
        *("lab1", "what a step costs", "lab1_prefill_decode", "cost_model"),
        functions=(
            *("parameters", "kv_bytes_per_token", "operations"),
            *("decode_bytes", "floor_seconds", "break_even_batch"),
        ),
    ),
    Part(
        *("lab2", "what a cache saves", "lab2_shared_prompts", "cache_model"),
        functions=("computed_tokens", "hit_rate", "pages_printed"),
    ),
    Part(
        *("lab3", "how many are served", "lab3_batching_memory", "capacity_model"),
        functions=(
            *("held_paged", "held_contiguous", "wasted_share"),
            *("steps_static", "steps_continuous", "requests_in_flight"),
        ),
    ),
    Part(
        *("lab4", "what guessing yields", "lab4_speculation", "speculation_model"),
        functions=("tokens_a_pass_chain", "tokens_a_pass_tree", "best_choices", "speed_up"),
    ),
)


def part_of(exercise: Number) -> Part:
    """The part of an exercise. KeyError for a number that no exercise has."""
    return {part.number: part for part in PARTS}[exercise]


def titled(exercise: Number) -> str:
    """As sentences call it: "exercise 1", "lab 1"."""
    return (
        f"exercise {exercise}"
        if isinstance(exercise, int)
        else f"lab {exercise.removeprefix('lab')}"
    )


def number_of(typed: str) -> Number:
    """The number that a word of a command or of a file means: 1 for "1", "lab1" for itself; there
    or not."""
    return int(typed) if typed.isdecimal() and len(typed) < 9 else typed


def exercise_of(law: str) -> Number:
    """The number of the exercise that a law "1.4" or "lab1.4" is of."""
    return number_of(law.partition(".")[0])


def place(exercise: Number) -> tuple[int, str]:
    """Sorting key: the order of the table; whatever is not in it comes first."""
    numbers = [part.number for part in PARTS]
    return (numbers.index(exercise) if exercise in numbers else -1), str(exercise)


def part_in(slot: str) -> Part:
    """The part that fills a slot. KeyError for a slot that none fills."""
    return {part.slot: part for part in PARTS}[slot]


def simulated() -> tuple[Part, ...]:
    """The parts of the engine without a model, in order."""
    return tuple(part for part in PARTS if part.simulated)


def timed_calls(exercise: Number) -> dict[str, tuple[str, ...]]:
    """The calls of an exercise that are timed alone, by group."""
    return dict(part_of(exercise).calls)
