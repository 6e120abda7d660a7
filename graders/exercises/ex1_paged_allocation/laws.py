"""The laws of exercise 1, from block arithmetic to a whole engine. Light: what plays them is
imported when it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graders.registry.law import LawBook
from graders.throughput.laws import add_throughput

if TYPE_CHECKING:
    from graders.checking.check_context import CheckContext

ELSEWHERE = {  # what another engine does by rule, and the contract does not
    "shares full blocks only": "This is how vLLM and nano-vllm do it, which share full blocks only; here the contract "
    "asks for every admission with no more shared blocks than ceil(num_tokens / block_size).",
    "copies the tail in fork": "This is how TensorRT-LLM does it, which copies the partial block at once; here the "
    "contract asks that fork shares it, and that whoever writes into it first gets the copy.",
    "keeps blocks beyond the tokens": "This is how vLLM does it, which keeps blocks of rejected guesses for the next "
    "step; here the contract asks that truncate gives back what holds no token any more.",
}
LAWS = LawBook(exercise=1, elsewhere=ELSEWHERE)


@LAWS.law(
    "block arithmetic",
    statement="A sequence of n tokens holds exactly ceil(n / block_size) blocks, each its own, none of them block 0.",
    points=8,
    hints=(
        "Look at how many blocks `admit` and `extend` take: at 1 token, at a full block, at one token more.",
        "A block is needed when its first token is written, not when the one before it is full: round up, and count "
        "what the sequence holds already.",
        "-(-num_tokens // block_size) is the length of the table. extend takes that minus len(table). The free list "
        "starts as range(1, num_blocks): block 0 is not in it.",
    ),
)
def block_arithmetic(context: CheckContext) -> None:
    from graders.checking.random_cases import explore
    from graders.exercises.ex1_paged_allocation import fixed_cases, random_cases

    explore(context, random_cases.arithmetic, cases=60, first=fixed_cases.arithmetic)


@LAWS.law(
    "giving back",
    statement="free returns the blocks whose ref fell to 0, each once; every block of the pool can be used again.",
    points=8,
    needs=("block arithmetic",),
    hints=(
        "Look at what `free` returns, and at what it leaves behind in your dictionaries.",
        "Blocks go back to the free list exactly when they leave the table, and the sequence is unknown afterwards.",
        "table = tables.pop(seq) raises the KeyError for you; give its blocks back, in any order, and forget the "
        "length too.",
    ),
)
def giving_back(context: CheckContext) -> None:
    from graders.checking.random_cases import explore
    from graders.exercises.ex1_paged_allocation import fixed_cases, random_cases

    explore(context, random_cases.giving_back, cases=40, first=fixed_cases.giving_back)


@LAWS.law(
    "all or nothing",
    statement="When blocks are lacking, admit and extend raise OutOfBlocks and nothing has changed.",
    points=8,
    needs=("giving back",),
    hints=(
        "Look at what your `admit` and `extend` have changed by the time they find that a block is missing.",
        "Count first, take afterwards: know the number of blocks before the first one leaves the free list.",
        "needed = self.blocks_needed(seq, num_tokens); if needed > self.num_free: raise OutOfBlocks, and only below "
        "that line change the length, the table and the free list.",
    ),
)
def all_or_nothing(context: CheckContext) -> None:
    from graders.checking.random_cases import explore
    from graders.exercises.ex1_paged_allocation import fixed_cases, random_cases

    explore(context, random_cases.all_or_nothing, cases=40, first=fixed_cases.all_or_nothing)


@LAWS.law(
    "sharing",
    statement="fork and shared blocks add one ref each; a block is freed when the last table that lists it is gone.",
    points=8,
    needs=("giving back",),
    hints=(
        "Look at `ref` after `fork`, after `admit` with shared blocks, and after `free` of one of the owners.",
        "Keep a count for each block. Only the step from 1 to 0 frees it, whoever takes that step.",
        "fork: copy the list (not the reference to it) and the length, then refs[b] += 1 for every b in it. free: "
        "refs[b] -= 1, and return and give back those that reach 0.",
    ),
)
def sharing(context: CheckContext) -> None:
    from graders.checking.random_cases import explore
    from graders.exercises.ex1_paged_allocation import fixed_cases, random_cases

    explore(context, random_cases.sharing, cases=60, first=fixed_cases.sharing)


@LAWS.law(
    "copy-on-write",
    statement="A block with ref > 1 is never written: the writer gets a fresh block and one Copy, the last owner none.",
    points=12,
    needs=("all or nothing", "sharing"),
    hints=(
        "Look at the first position that `extend` writes: which block is it in, and who else reads that block?",
        "extend writes positions [old length, num_tokens). Only the block of the first one can exist already, and only "
        "if the old length is not a multiple of block_size. The copy costs a block: blocks_needed counts it.",
        "if num_tokens > length and length % block_size and refs[table[-1]] > 1: fresh replaces table[-1], the old "
        "block loses one ref, Copy(old, fresh) is returned, and fresh is among the new blocks.",
    ),
)
def copy_on_write(context: CheckContext) -> None:
    from graders.checking.random_cases import explore
    from graders.exercises.ex1_paged_allocation import fixed_cases, random_cases

    explore(context, random_cases.copy_on_write, cases=70, first=fixed_cases.copy_on_write)


@LAWS.law(
    "truncate",
    statement="truncate keeps ceil(n / block_size) blocks and returns those whose ref fell to 0.",
    points=8,
    needs=("sharing",),
    hints=(
        "Look at which blocks still hold a token after `truncate`: at a multiple of block_size, at 0, in the middle.",
        "What falls off the end of the table is treated as in `free`; the rest stays, and so does the sequence, even "
        "with no token left.",
        "keep = -(-num_tokens // block_size); dropped = table[keep:]; del table[keep:]; then one ref less for each of "
        "dropped.",
    ),
)
def truncate(context: CheckContext) -> None:
    from graders.checking.random_cases import explore
    from graders.exercises.ex1_paged_allocation import fixed_cases, random_cases

    explore(context, random_cases.truncate, cases=60, first=fixed_cases.truncate)


@LAWS.law(
    "watermark",
    statement="admit leaves `watermark` blocks free, extend may use them; can_admit says exactly what admit would do.",
    points=8,
    needs=("copy-on-write",),
    hints=(
        "Look at `can_admit` one block to either side of the watermark, with and without shared blocks.",
        "Shared blocks are not taken from the free list. The watermark binds newcomers only: it is there so that those "
        "who are in can still grow.",
        "num_free - (ceil(num_tokens / block_size) - len(shared)) >= watermark decides both can_admit and admit; "
        "extend compares with num_free alone.",
    ),
)
def watermark(context: CheckContext) -> None:
    from graders.checking.random_cases import explore
    from graders.exercises.ex1_paged_allocation import fixed_cases, random_cases

    explore(context, random_cases.watermark, cases=60, first=fixed_cases.watermark)


@LAWS.law(
    "retain and release",
    statement="ref counts tables and retains; whatever is called, a block is free or referenced and not both.",
    points=8,
    needs=("copy-on-write", "truncate"),
    hints=(
        "Look at a block that is retained when its sequence is freed, and at one released while a table lists it.",
        "The prefix cache is one more owner. A retained block outlives its sequences, and a retained partial tail is a "
        "shared one: writing into it needs a copy.",
        "Keep two counts: refs (all references) and retained (the cache's part). retain adds to both, release takes "
        "from both and frees at refs 0. `blocks` may be a generator: make a list of it first.",
    ),
)
def retain_and_release(context: CheckContext) -> None:
    from graders.checking.random_cases import explore
    from graders.exercises.ex1_paged_allocation import fixed_cases, random_cases

    explore(context, random_cases.references, cases=90, moves=14, first=fixed_cases.references)


@LAWS.law(
    "refusals",
    statement="What the contract forbids raises KeyError or ValueError, and nothing has changed.",
    points=6,
    needs=("retain and release",),
    hints=(
        "Look at the list of errors in the docstrings: each is tried, in every state.",
        "Check everything before the first change, for all blocks of a list before the first of them.",
        "shared: none free, none twice, not more than ceil(num_tokens / block_size). retain: none free. release: "
        "Counter(blocks)[b] <= retained[b] for each b.",
    ),
)
def refusals(context: CheckContext) -> None:
    from graders.checking.random_cases import explore
    from graders.exercises.ex1_paged_allocation.refusals import each_forbidden_call, refusals

    each_forbidden_call(context)
    explore(context, refusals, cases=50)


@LAWS.law(
    "constant time",
    statement="No call looks through the pool: on 64 times more blocks it costs about the same.",
    points=8,
    needs=("copy-on-write", "truncate", "retain and release"),
    hints=(
        "Look for loops over all blocks, and for their disguises: `in` on a list, pop(0), remove, min, sorted, sum; "
        "and for slices and copies of a long sequence's table where a block or two change.",
        "Take and give back at the same end of the free list, and keep what you would otherwise count: refs in a "
        "dictionary, the number of free blocks as the length of the list.",
        "free = list(range(num_blocks - 1, 0, -1)); take with free.pop(), give back with free.append(block). An extend "
        "that stays within its last block changes one number.",
    ),
)
def constant_time(context: CheckContext) -> None:
    from graders.exercises.ex1_paged_allocation.constant_time import constant_time

    constant_time(context)


@LAWS.law(
    "same tokens",
    statement="In the whole engine every request gets the same tokens with your block manager as alone, and several "
    "times more requests are held in the same KV memory than with contiguous reservation; n samples of one prompt "
    "share its pages, and each diverging writer but the last copies exactly once: unless the timed laws are left out, "
    "in the real engine too.",
    points=18,
    needs=("constant time", "watermark", "refusals"),
    kind="engine",
    hints=(
        "Look at the story of the first request that reads something else, and at the laws that passed only just.",
        "Nothing new is asked here: many sequences grow, end and are preempted in one pool. A wrong read is KV that "
        "somebody else wrote into a block that should have been this request's alone.",
        "Few requests at once: `admit` or `can_admit` asks for more blocks than ceil(num_tokens / block_size), "
        "or that blocks are lost on the way: compare num_free with the blocks in the tables after each free.",
    ),
)
def same_tokens(context: CheckContext) -> None:
    from graders.exercises.ex1_paged_allocation.in_engine import same_tokens

    same_tokens(context)


add_throughput(
    LAWS,
    needs=("same tokens",),
    hints=(
        "Look at the figure: how many times as fast as the reference engine, and what the bound asks.",
        "An engine is slow through a block manager that reserves more than it needs, so that few requests are in at "
        "once, or that does work for every block where it should do work for the new ones.",
        "admit takes ceil(num_tokens / block_size) - len(shared) blocks and extend none at all within the last block; "
        "nothing is copied, sorted or counted anew in between.",
    ),
)
