"""Driver of exercise 3 inside the worker: how a PrefixCache is made, called and looked at.

A handle stays here; the grader names it by the number under which the call that returned it was to
keep it.

moves  [method, …], each answered with [outcome, [evictable, protected]]:
       match   tokens, namespace, handle, form, clears           [length, blocks]
       insert  tokens, blocks, namespace, handle, form, clears   reused
       lock    handle
       unlock  handle
       evict   count                               blocks
       beside  tokens, blocks                      another cache is made, stores this and lives on
       weigh   texts, asked, block_size            [looks of the last insert, looks of the match (see `Token`), what
                                                   they returned: reused, length, blocks]
       fill    tokens, block_size                  insert them with blocks from 1 on
       shelf   block_size, depth, groups           from now on text i has `depth` blocks: the first is that of its
                                                   group, i modulo groups, the others are its own
                                                   (see `Shelf`)
       store   number, depth                       reused: inserts text `number`, or its first blocks
       find    number, depth                       [length, blocks] of its first blocks and a tail that is new
       pin     number, depth                       [evictable, protected] while that match is locked
       clutch  first, count                        inserts so many texts
       ladder  number                              inserts the first block of it, the first two, and so on
A namespace is null or {"name": text, number, {"tuple": [more of these]} or {"tenant": [text,
number]}}. form: "list", "tuple", "array" or "sequence", in which tokens and blocks are handed over.
clears: the caller empties its own lists as soon as the call is over.
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass

from reference_engine.slots import Inserted, Match

from .callers_own import CallersOwn
from .handed_over import called
from .return_types import due

LOOKS = [0]  # at tokens that count; not in their class, which a part has in hand


def new(worker_parts, args, keywords):
    made = worker_parts.parts["prefix_cache"].PrefixCache
    return CacheDriver(made(*args, **keywords), lambda: made(*args, **keywords))


def trace(worker_parts, part, move):
    """[outcome, counts]."""
    outcome = worker_parts.attempt(getattr(part, move[0]), *move[1:])
    part.returned.scrawl()
    return [outcome, worker_parts.peek(part.counts)]


def call(part, method, args):
    return getattr(part, method)(*args)


def watch(worker_parts, part, wanted):
    return None


def bind(part, method):
    """A callable for calls over and over: the part's own method, or one of a `Shelf`."""
    return getattr(part, method) if method in Shelf.METHODS else getattr(part.part, method)


class CacheDriver:
    """The part, and the handles that it gave out. another: makes a cache of the same kind."""

    def __init__(self, part, another):
        self.part = part
        self.another = another
        self.others = []
        self.handles = {}
        self.returned = CallersOwn()
        self.books = Shelf(1, 1, 1)

    def shelf(self, block_size, depth, groups):
        self.books = Shelf(block_size, depth, groups)

    def store(self, number, depth):
        return self.part.insert(
            self.books.text(number, depth), self.books.blocks(number, depth)
        ).reused

    def find(self, number, depth):
        match = self.part.match(self.books.asked(number, depth))
        return [match.length, list(match.blocks)]

    def pin(self, number, depth):
        node = self.part.match(self.books.asked(number, depth)).node
        self.part.lock(node)
        counts = self.counts()
        self.part.unlock(node)
        return counts

    def clutch(self, first, count):
        for number in range(first, first + count):
            self.store(number, self.books.depth)

    def ladder(self, number):
        for depth in range(1, self.books.depth + 1):
            self.store(number, depth)

    def match(self, tokens, namespace, handle, form, clears):
        tokens = FORMS[form](tokens)
        match = due(
            called(self.part.match, tokens, *named(namespace)),
            Match,
            "a Match(length, blocks, node)",
        )
        if clears:
            tokens.clear()  # the caller's list is the caller's: a part that kept it sees it change
        self.handles[handle] = match.node
        if type(match.blocks) is not list:
            due(match.blocks, tuple, "a tuple of blocks", "a Match whose blocks are ")
        return [match.length, list(self.returned.take(match.blocks))]

    def insert(self, tokens, blocks, namespace, handle, form, clears):
        tokens, blocks = FORMS[form](tokens), FORMS[form](blocks)
        answer = called(self.part.insert, tokens, blocks, *named(namespace))
        inserted = due(answer, Inserted, "an Inserted(reused, node)")
        if clears:
            tokens.clear()
            blocks.clear()
        self.handles[handle] = inserted.node
        return inserted.reused

    def lock(self, handle):
        return self.part.lock(self.handles[handle])

    def unlock(self, handle):
        return self.part.unlock(self.handles[handle])

    def evict(self, count):
        return self.returned.take(self.part.evict(count))

    def beside(self, tokens, blocks):
        self.others.append(self.another())
        self.others[-1].insert(tokens, blocks)

    def counts(self):
        return [self.part.evictable, self.part.protected]

    def fill(self, tokens, block_size):
        self.part.insert(tokens, list(range(1, len(tokens) // block_size + 1)))

    def weigh(self, texts, asked, block_size):
        """Insert the texts and match what is asked, with tokens that count how often they are
        looked at."""
        first = 1
        for text in texts:
            watched = CountingList(map(Token, text))
            LOOKS[0] = 0
            inserted = self.part.insert(
                watched, list(range(first, first + len(text) // block_size))
            )
            first += len(text) // block_size
        inserting, watched = LOOKS[0], CountingList(map(Token, asked))
        LOOKS[0] = 0
        match = self.part.match(watched)
        looks = LOOKS[0]
        return [inserting, looks, inserted.reused, match.length, list(match.blocks)]


class Shelf:
    """Texts by number, each of other tokens, and the blocks that hold them; never the same list
    twice."""

    METHODS = ("store", "find", "pin")

    def __init__(self, block_size, depth, groups):
        self.size, self.depth, self.groups = block_size, depth, groups
        self.asks = 0

    def text(self, number, depth):
        own = range((number + 1) << 20, ((number + 1) << 20) + (depth - 1) * self.size)
        return [*range(self.first(number), self.first(number) + self.size), *own]

    def first(self, number):
        return (1 << 50) + (number % self.groups << 20)

    def blocks(self, number, depth):
        """The group's block, then the text's own."""
        start = self.groups + number * (self.depth - 1) + 1
        return [number % self.groups + 1, *range(start, start + depth - 1)]

    def asked(self, number, depth):
        self.asks += 1
        return [
            *self.text(number, depth),
            *range((1 << 55) + self.asks * self.size, (1 << 55) + (self.asks + 1) * self.size),
        ]


class Token(int):
    """An int that counts how often it is compared, hashed or written out, whatever it was put into."""

    def __hash__(self):
        LOOKS[0] += 1
        return int.__hash__(self)

    def __str__(self):
        LOOKS[0] += 1
        return int.__repr__(self)

    __repr__ = __str__


def counting(name):
    plain = getattr(int, name)

    def compare(self, other):
        LOOKS[0] += 1
        return plain(self, other)

    return compare


for name in ("__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__"):
    setattr(Token, name, counting(name))


class CountingList(list):
    """A list of tokens that counts how many a slice or a walk through it takes."""

    def __iter__(self):
        for token in list.__iter__(self):
            LOOKS[0] += 1
            yield token

    def __getitem__(self, at):
        found = list.__getitem__(self, at)
        LOOKS[0] += len(found) if isinstance(at, slice) else 0
        return found


class Numbers(Sequence):
    """Nothing but a Sequence; a slice of it is another."""

    def __init__(self, items):
        self._items = tuple(items)

    def __len__(self):
        return len(self._items)

    def __getitem__(self, at):
        return Numbers(self._items[at]) if isinstance(at, slice) else self._items[at]


FORMS: dict = {
    "list": list,
    "tuple": tuple,
    "array": lambda numbers: array("q", numbers),
    "sequence": Numbers,
}


@dataclass(frozen=True)
class Tenant:
    """A namespace; equal to another of the same fields, and a new object in every call."""

    name: str
    adapter: int


def named(namespace):
    """Nothing at all for no namespace: a default that must be None."""
    return () if namespace is None else (name_of(namespace["name"]),)


def name_of(data):
    if type(data) is not dict:
        return data
    return tuple(map(name_of, data["tuple"])) if "tuple" in data else Tenant(*data["tenant"])
