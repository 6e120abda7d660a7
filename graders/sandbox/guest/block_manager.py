"""Driver of exercise 1 inside the worker: how a BlockManager is made, called and looked at.

A trace is written before the part has handed out any block, so it names blocks by numbers of its
own. A move is [method, args, look, names]: look = [sequences, blocks] to look at afterwards, names
= [sequence, numbers] says which numbers the blocks of that sequence's table go by from now on. An
argument that is an object is a list of blocks: {"blocks": [...], "as": "list" | "tuple" |
"iterator" | "array", "alive": [...]}. A negative number -k in it means the k-th (from 1) of the
blocks that are free, those that no number in `alive` stands for; 0 is scratch.

Some names stand for many calls at once: crowd(first, count) admits sequences of a token,
forks(parent, first, count) forks one that often, leave(sequences) frees them and returns all that
fell free, rounds(count, calls) makes calls [method, args] over and over, of which some may find no
blocks.
"""

import array
import contextlib
from collections import abc

from reference_engine.slots import OutOfBlocks

from .callers_own import CallersOwn
from .handed_over import called


def new(worker_parts, args, keywords):
    worker_parts.memory = {"known": {}, "blocks": args[0], "returned": CallersOwn()}
    return worker_parts.parts["block_manager"].BlockManager(*args, **keywords)


def trace(worker_parts, part, move):
    """[outcome, snapshot]; the snapshot is [num_free, [[length, table] of each sequence], [ref of
    each block]]."""
    method, args, look, names = move
    known = worker_parts.memory["known"]
    handed = _handed(worker_parts.memory, args)
    if method == "rounds":
        handed[1] = [[name, _handed(worker_parts.memory, each)] for name, each in args[1]]
    if method in OURS or method == "table":  # a table that is returned may be the part's own
        outcome = worker_parts.attempt(call, part, method, handed)
    else:
        returned = worker_parts.memory["returned"]
        outcome = worker_parts.attempt(_taken, returned, part, method, handed)
        for arg in handed:
            if type(arg) in (list, array.array):
                del arg[:]  # the caller's list is the caller's: a part that kept it sees it change
        returned.scrawl()
    if names:
        for number, block in zip(names[1], _read(part, names[0]), strict=False):
            known[number] = block
    return [outcome, _look(worker_parts, part, *look)]


def _taken(returned, part, method, args):
    return returned.take(called(lambda *given: call(part, method, given), *args))


def crowd(part, first, count):
    """So many sequences of one token."""
    for seq in range(first, first + count):
        part.admit(seq, 1)


def forks(part, parent, first, count):
    for child in range(first, first + count):
        part.fork(parent, child)


def leave(part, seqs):
    return [block for seq in seqs for block in part.free(seq)]


def rounds(part, count, calls):
    for _ in range(count):
        for method, args in calls:
            with contextlib.suppress(OutOfBlocks):
                call(part, method, args)


OURS: dict = {"crowd": crowd, "forks": forks, "leave": leave, "rounds": rounds}  # many calls in one


def call(part, method, args):
    if method in OURS:
        return OURS[method](part, *args)
    found = getattr(part, method)
    return found if method == "num_free" else found(*args)


def bind(part, method):
    """A callable for calls over and over."""
    return (lambda: part.num_free) if method == "num_free" else getattr(part, method)


def _handed(memory, args):
    return [_argument(memory, arg) if type(arg) is dict else arg for arg in args]


def _argument(memory, arg):
    known = memory["known"]
    alive = {known.get(number) for number in arg["alive"]}
    free = [block for block in range(1, memory["blocks"]) if block not in alive]
    blocks = [_block(number, known, free) for number in arg["blocks"]]
    if arg["as"] == "list":
        return blocks
    if arg["as"] == "array":
        return array.array("q", blocks)
    return tuple(blocks) if arg["as"] == "tuple" else iter(blocks)


def _block(number, known, free):
    """Block 0 stands for what a part that has gone astray no longer has, too."""
    if number >= 0:
        return known.get(number, 0)
    return free[-number - 1] if -number <= len(free) else 0


def _read(part, seq):
    """The table of a sequence if it can be read; what is wrong with it shows in the snapshot."""
    try:
        return list(part.table(seq))
    # whatever a part raises, SystemExit too: `_look` asks again and reports it
    except BaseException:
        return []


def _look(worker_parts, part, seqs, blocks):
    sequences = [
        [worker_parts.peek(_length, part, seq), worker_parts.peek(_table, part, seq)]
        for seq in seqs
    ]
    refs = worker_parts.peek(_refs, part, blocks)
    if type(refs) is not list:  # one of them raises: which?
        refs = [worker_parts.peek(_ref, part, block) for block in blocks]
    return [worker_parts.peek(getattr, part, "num_free"), sequences, refs]


def _length(part, seq):
    return part.length(seq)


def _table(part, seq):
    """Any sequence will do for a table: a list, a tuple, an array, a range."""
    table = part.table(seq)
    return (
        list(table)
        if isinstance(table, abc.Sequence) and not isinstance(table, (str, bytes))
        else table
    )


def _refs(part, blocks):
    return [part.ref(block) for block in blocks]


def _ref(part, block):
    return part.ref(block)
