"""Short stories that a random trace seldom tells, the same in every run: each law of exercise 1
begins with its own.

Where a case is after a bug that an engine had, it says which.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from graders.checking.check_context import CheckContext
from graders.exercises.ex1_paged_allocation.judge import BlockManagerJudge
from graders.exercises.ex1_paged_allocation.operations import BlockManagerScript

Script = BlockManagerScript
SIZES = (1, 2, 7, 16, 100, 256, 500, 1000, 1024)  # tokens of a block
MANY = 300  # references to one block
LARGE = 300  # tokens: equal ints above 256 are not the same object
LONG = 1500  # blocks of a table
ROUNDS = 1000  # a leak of one in so many calls shows


def _play(context: CheckContext, script: Script, *stories: Callable[[Script], None]) -> None:
    """The stories after each other, as one."""
    for story in stories:
        story(script)
    BlockManagerJudge(context, script).judge()
    context.cases += 1


def arithmetic(context: CheckContext) -> None:
    """Law 1.1: every edge of a block, for blocks of 1 to 1,024 tokens; growth up to the last block."""
    for size in SIZES:
        script = Script(14, size, refs=False)
        for seq, tokens in enumerate((1, size, size + 1, 2 * size - 1, 2 * size), 1):
            script.admit(seq, max(1, tokens))
        for tokens in (size - 1, size, 2 * size, 2 * size + 1, 3 * size):
            if tokens > 0:
                script.blocks_needed(1, tokens)
                script.extend(1, tokens)
        _play(context, script)
    _play(context, Script(4, 4, refs=False), _the_whole_pool)


def _the_whole_pool(script: Script) -> None:
    """One grows into the last free block."""
    script.admit(1, 4)
    script.extend(1, 9)
    script.extend(1, 12)


def giving_back(context: CheckContext) -> None:
    """Law 1.2: the whole pool is used by one, by many, and by one again; nobody is known who has
    left."""
    script = Script(9, 4, refs=False)
    script.admit(1, 32)
    script.free(1)
    for seq in range(8):
        script.admit(seq, 4)
    for seq in (3, 0, 7, 1, 5, 2, 6, 4):
        script.free(seq)
        script.free(seq)
        script.length(seq)
        script.table(seq)
    script.admit(-1, 29)
    script.free(-1)
    _play(context, script)


def all_or_nothing(context: CheckContext) -> None:
    """Law 1.3: far too much is asked for, and a block too much; then what there is."""
    script = Script(5, 4, refs=False)
    script.admit(1, 1000)
    script.length(1)
    script.admit(1, 17)
    script.admit(1, 5)
    script.extend(1, 1000)
    script.extend(1, 17)
    script.admit(2, 9)
    script.table(2)
    script.admit(2, 8)
    script.extend(1, 9)
    script.extend(1, 8)
    _play(context, script)


def sharing(context: CheckContext) -> None:
    """Law 1.4: many references to a block, admissions that take no block, and tables that must not
    be one."""
    for count in (2, MANY):  # what breaks with a few is told with a few
        _play(context, Script(4, 4), partial(_references, count))
    for blocks in (5, 3):
        _play(context, Script(blocks, 4), _nothing_of_its_own)
    _play(context, Script(6, 4), _lists_of_their_own)
    _play(context, Script(8, 4), _blocks_of_several)
    for blocks in (5, LONG):
        _play(context, Script(2 * blocks, 2, refs=False), partial(_a_table, blocks))


def _references(count: int, script: Script) -> None:
    """Of hundreds there are more than a signed byte, and than a byte, can count."""
    script.admit(0, 8)
    script.forks(0, 1, count)
    script.free(0)
    script.leave(range(1, count))
    script.free(count)


def _nothing_of_its_own(script: Script) -> None:
    """The pool may be used up: whoever shares all blocks needs none; the last of them need not be
    filled."""
    script.admit(1, 8)
    blocks = script.spec.full_blocks(1)
    script.admit(2, 8, blocks)
    script.admit(3, 5, blocks, "list")
    script.free(1)
    script.free(2)
    script.free(3)


def _lists_of_their_own(script: Script) -> None:
    script.admit(1, 4)
    script.fork(1, 2)
    script.extend(1, 5)
    script.fork(2, 3)
    script.extend(2, 9)
    script.free(1)
    script.free(2)


def _blocks_of_several(script: Script) -> None:
    """A prefix of blocks that came from two tables, and in another order than they were handed out."""
    script.admit(1, 8)
    script.admit(2, 4)
    blocks = [*script.spec.full_blocks(2), *reversed(script.spec.full_blocks(1))]
    script.admit(3, 13, blocks, "array")
    script.admit(4, 9, blocks[:1], "list")
    script.free(1)
    script.free(4)
    script.free(3)
    script.free(2)


def _a_table(blocks: int, script: Script) -> None:
    """It may have more blocks than a function can call itself."""
    script.admit(1, 2 * blocks)
    script.fork(1, 2)
    script.extend(2, 2 * blocks + 1)
    script.free(1)
    script.free(2)


def copy_on_write(context: CheckContext) -> None:
    """Law 1.5: who copies, once, and into what."""
    for tokens in (3, LARGE):  # what breaks with a few is told with a few
        _play(context, Script(4, tokens + 1), partial(_nothing_written, tokens))
    _play(context, Script(6, 4), _all_but_the_last)
    for blocks in (5, LONG):
        _play(context, Script(blocks + 3, 2, refs=False), partial(_the_last_of_two, blocks))
    _play(context, Script(5, 4), _the_last_free_block)
    _play(context, Script(8, 4), _copy_and_more)
    _play(context, Script(6, 4), _into_a_borrowed_block)
    _play(context, Script(4, 1), _blocks_of_one_token)
    _play(context, Script(8, 4), _an_id_that_comes_again)


def _an_id_that_comes_again(script: Script) -> None:
    """Who comes under the id of a fork, or of a parent, shares nothing (xLLM-AI/xllm#1984)."""
    script.admit(1, 5)
    script.fork(1, 2)
    for seq in (2, 1):
        script.free(seq)
        script.admit(seq, 6)
        script.extend(seq, 7)
        script.extend(3 - seq, 7 if seq == 1 else 6)


def _nothing_written(tokens: int, script: Script) -> None:
    """Growing to the present length writes nothing, however large the number is."""
    script.admit(1, tokens)
    script.fork(1, 2)
    script.extend(2, tokens)
    script.extend(1, tokens)
    script.blocks_needed(2, tokens)
    script.extend(2, tokens + 1)


def _all_but_the_last(script: Script) -> None:
    script.admit(1, 3)
    for child in (2, 3):
        script.fork(1, child)
    script.extend(2, 4)
    script.fork(3, 4)
    script.extend(1, 4)
    script.extend(3, 4)
    script.extend(4, 4)
    script.extend(2, 5)


def _the_last_of_two(blocks: int, script: Script) -> None:
    """However long the table is."""
    script.admit(1, 2 * blocks - 1)
    script.fork(1, 2)
    script.extend(2, 2 * blocks)
    script.extend(1, 2 * blocks)


def _the_last_free_block(script: Script) -> None:
    """One block is left: enough for the copy, and not for a block more."""
    script.admit(1, 6)
    script.admit(3, 4)
    script.fork(1, 2)
    script.extend(2, 9)
    script.extend(2, 7)
    script.extend(1, 8)
    script.extend(1, 9)


def _copy_and_more(script: Script) -> None:
    script.admit(1, 6)
    script.fork(1, 2)
    script.extend(2, 15)
    script.free(2)
    script.extend(1, 7)
    script.fork(1, 2)
    script.blocks_needed(2, 15)


def _into_a_borrowed_block(script: Script) -> None:
    """The last of the blocks that it shares is not full for it: it is somebody else's to read."""
    script.admit(1, 8)
    script.admit(2, 5, script.spec.full_blocks(1))
    script.extend(2, 6)
    script.free(1)
    script.extend(2, 8)


def _blocks_of_one_token(script: Script) -> None:
    script.admit(1, 2)
    script.fork(1, 2)
    script.extend(2, 3)
    script.free(1)


def truncate(context: CheckContext) -> None:
    """Law 1.6: to nothing and on; by nothing; and a sequence without tokens is one."""
    script = Script(8, 4)
    script.admit(1, 8)
    script.truncate(1, 8)
    script.truncate(1, 5)
    script.truncate(1, 4)
    script.truncate(1, 0)
    script.extend(1, 0)
    script.fork(1, 2)
    script.extend(2, 5)
    script.truncate(1, 0)
    script.free(1)
    script.fork(2, 3)
    script.truncate(3, 1)
    script.truncate(2, 0)
    script.free(3)
    script.free(2)
    _play(context, script)
    script = Script(4, LARGE)
    script.admit(1, 2 * LARGE)
    script.truncate(1, 2 * LARGE)
    script.truncate(1, LARGE + 1)
    script.truncate(1, LARGE)
    _play(context, script)
    for blocks in (5, LONG):  # what breaks with a few is told with a few
        _play(context, Script(2 * blocks, 2, refs=False), partial(_off_a_shared_table, blocks))


def _off_a_shared_table(blocks: int, script: Script) -> None:
    script.admit(1, 2 * blocks)
    script.fork(1, 2)
    script.extend(2, 2 * blocks + 1)
    script.truncate(2, 7)
    script.free(1)
    script.free(2)


def watermark(context: CheckContext) -> None:
    """Law 1.7: what it binds (newcomers, those who bring all their blocks along too), and what not."""
    _play(context, Script(4, 4, watermark=1), _the_copy_may_use_it)
    _play(context, Script(5, 4, watermark=2), _below_it)
    _play(context, Script(MANY, 4, watermark=1), _one_of_many)
    for kept in (3, 4, 10):
        script = Script(4, 4, watermark=kept)
        script.can_admit(1)
        script.admit(1, 1)
        _play(context, script)


def _the_copy_may_use_it(script: Script) -> None:
    """A copy is an extension like any other."""
    script.admit(1, 6)
    script.fork(1, 2)
    script.blocks_needed(2, 7)
    script.extend(2, 7)


def _below_it(script: Script) -> None:
    """Once the running have used what it keeps, nobody comes in, not even whoever takes no block."""
    script.admit(1, 8)
    blocks = script.spec.full_blocks(1)
    script.can_admit(8, blocks)
    script.blocks_needed(1, 9)
    script.extend(1, 9)
    script.can_admit(8, blocks)
    script.admit(2, 8, blocks)
    script.extend(1, 16)
    script.fork(1, 3)


def _one_of_many(script: Script) -> None:
    """A block is a block in a large pool too."""
    room = script.spec.num_free * script.spec.block_size
    script.can_admit(room)
    script.can_admit(room - 4)
    script.admit(1, room)
    script.admit(1, room - 4)


def references(context: CheckContext) -> None:
    """Law 1.8: lists with nothing and with repeats, what the cache alone holds, and calls over and
    over."""
    _play(context, Script(8, 4), _repeats)
    _play(context, Script(6, 4), _nothing_in_it)
    _play(context, Script(4, 4), _held_by_the_cache_alone)
    _play(context, Script(8, 4), _back_into_a_shared_block)
    _play(context, Script(8, 4), _a_retained_tail)
    _play(context, Script(8, 4), _held_after_a_write)
    _play(context, Script(6, 4), _retained_often)
    _play(context, Script(12, 4), _over_and_over)


def _repeats(script: Script) -> None:
    """Every time counts."""
    script.admit(1, 8)
    script.retain([1, 1])
    script.release([1, 1])
    script.retain([1, 2, 1], "iterator")
    script.free(1)
    script.release([2, 1, 1])


def _nothing_in_it(script: Script) -> None:
    script.retain([])
    script.release([], "iterator")
    script.admit(1, 4)
    script.retain([], "tuple")
    script.release([])


def _held_by_the_cache_alone(script: Script) -> None:
    """A block that no table lists is not free, and can be shared."""
    script.admit(1, 4)
    block = script.spec.full_blocks(1)
    script.retain(block)
    script.free(1)
    script.admit(2, 8)
    script.can_admit(8, block)
    script.admit(3, 8, block)
    script.can_admit(4, block)
    script.admit(3, 4, block)
    script.release(block)
    script.extend(3, 5)
    script.free(3)


def _back_into_a_shared_block(script: Script) -> None:
    """After a truncation the last block is one that others read, or the cache: it is copied."""
    script.admit(1, 8)
    script.fork(1, 2)
    script.extend(2, 9)
    script.truncate(2, 6)
    script.extend(2, 7)
    script.retain(script.spec.tables[1][:1])
    script.truncate(1, 2)
    script.extend(1, 3)
    script.free(2)


def _a_retained_tail(script: Script) -> None:
    """What the cache holds is copied before it is written, though one table alone lists it; no
    truncation frees it."""
    script.admit(1, 7)
    script.retain(script.spec.tables[1])
    script.extend(1, 8)
    script.admit(2, 8)
    script.retain(script.spec.tables[2])
    script.truncate(2, 3)
    script.extend(2, 4)
    script.free(2)
    script.release(sorted(script.spec.retained))


def _held_after_a_write(script: Script) -> None:
    """Whoever wrote in place a moment ago asks again: the cache, or another table, may hold the
    block by now."""
    script.admit(1, 5)
    script.extend(1, 6)
    tail = script.spec.tables[1][1:]
    script.retain(tail)
    script.extend(1, 7)
    script.extend(1, 8)
    script.release(tail)
    script.admit(2, 5)
    script.extend(2, 6)
    script.admit(3, 4, script.spec.tables[2][1:])
    script.extend(2, 7)
    script.extend(2, 8)


def _retained_often(script: Script) -> None:
    script.admit(1, 4)
    script.retain([1] * MANY)
    script.free(1)
    script.release([1] * (MANY - 1))
    script.admit(2, 8, [1])
    script.free(2)
    script.release([1])


def _over_and_over(script: Script) -> None:
    """Thousands of calls of every kind in a small pool: what is lost once in a thousand is missed."""
    script.admit(1, 6)
    script.rounds(ROUNDS, _there_and_back)
    script.free(1)
    script.admit(1, 44)


def _there_and_back(script: Script) -> None:
    full, tail = script.spec.tables[1]
    script.fork(1, 2)
    script.extend(2, 7)
    script.extend(2, 17)
    script.retain([full, tail])
    script.truncate(2, 5)
    script.extend(2, 60)
    script.truncate(2, 0)
    script.admit(3, 9, [full])
    script.admit(4, 60)
    script.release([full, tail])
    script.fork(3, 4)
    script.extend(2, 2)
    script.free(3)
    script.extend(4, 10)
    script.free(2)
    script.free(4)
    script.admit(5, 20)
    script.can_admit(4)
    script.free(5)
