"""The laws of exercise 3, from one text to the whole engine. Light: what plays them is imported
when it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graders.registry.law import LawBook
from graders.throughput.laws import add_throughput

if TYPE_CHECKING:
    from graders.checking.check_context import CheckContext

ELSEWHERE = {  # what another engine does by rule, and the contract does not
    "evicts whole leaves": "This is how SGLang does it, which frees a leaf of its tree with all of its blocks; here "
    "the contract asks for exactly min(num_blocks, evictable) of them.",
    "in order of release": "This is how vLLM does it, whose blocks queue up as requests let go of them; here the "
    "contract asks for the order of the last match or insert.",
    "trusts the caller's blocks": "This is how SGLang does it, whose insert trusts the caller; here the contract asks "
    "that bad blocks are refused, with nothing changed.",
    "trusts the caller's locks": "This is how SGLang does it, which counts a lock down without a look; here the "
    "contract asks for ValueError.",
    "trusts a hash": "This is how vLLM does it, which knows a block by its hash; here the contract asks that tokens "
    "are compared in full.",
}
LAWS = LawBook(exercise=3, elsewhere=ELSEWHERE)


@LAWS.law(
    "longest prefix",
    statement="match returns the blocks of the longest stored prefix, whoever inserted which part of it.",
    points=12,
    hints=(
        "Look at two texts that begin alike and then differ: what does the tree look like after the second insert?",
        "Walk from the root, block by block, as long as a child for the next block exists; insert "
        "continues from there. On a tree whose edges hold several blocks, cut the edge where the "
        "texts part.",
        "A split at block k: the upper half takes the first k blocks and the old place under the "
        "parent, the lower half keeps the rest and becomes a child of the upper one. Then the new "
        "text's rest is a second child.",
    ),
)
def longest_prefix(context: CheckContext) -> None:
    from graders.checking.random_cases import explore
    from graders.exercises.ex3_prefix_cache import fixed_cases, random_cases

    explore(context, random_cases.longest_prefix, cases=60, first=fixed_cases.texts)


@LAWS.law(
    "whole blocks",
    statement="Only whole blocks are stored and matched: a block counts when all its tokens are equal, and a "
    "tail that fills none is left out.",
    points=8,
    needs=("longest prefix",),
    hints=(
        "Look at texts that differ in the middle of a block, and at texts whose length is not a "
        "multiple of block_size.",
        "A block is one thing with block_size tokens: the key under which a child is found is all of them.",
        "children[tuple(tokens[i : i + block_size])]; full = len(tokens) // block_size, and nothing "
        "beyond full * block_size is looked at.",
    ),
)
def whole_blocks(context: CheckContext) -> None:
    from graders.checking.random_cases import explore
    from graders.exercises.ex3_prefix_cache import fixed_cases, random_cases

    explore(context, random_cases.whole_blocks, cases=50, first=fixed_cases.block_sizes)


@LAWS.law(
    "duplicates",
    statement="What is held already stays where it is and is counted in `reused`; bad blocks are refused, and "
    "the caller's lists are copied.",
    points=10,
    needs=("longest prefix",),
    hints=(
        "Look at what `insert` does when its whole text, or the beginning of it, is stored already with other blocks.",
        "The old block stays, the caller keeps the new one: it is not stored, so it is never evicted "
        "either. A block number can only be in one place. Keep copies: the caller goes on using its own lists.",
        "reused = length of the walk; store blocks[reused // block_size : full] only. Check before you change anything:"
        " len(blocks) >= full, and none of the new ones in the set of stored blocks. Copy with tuple(...) or a slice.",
    ),
)
def duplicates(context: CheckContext) -> None:
    from graders.checking.random_cases import explore
    from graders.exercises.ex3_prefix_cache import fixed_cases, random_cases

    explore(context, random_cases.duplicates, cases=60, first=fixed_cases.elsewhere)
    explore(context, random_cases.copied, cases=30, first=fixed_cases.copied)


@LAWS.law(
    "eviction",
    statement="evict(n) takes min(n, evictable) blocks, always the least recently touched one that has no "
    "child; a parent goes when its children are gone.",
    points=12,
    needs=("duplicates",),
    hints=(
        "Look at the order in which `evict(99)` empties a tree of two texts that begin alike, and at what is left.",
        "Count in blocks. Of one path the deepest block is the oldest candidate; when the last child "
        "is gone, its parent is the next leaf.",
        "A heap of (tick, leaf): pop the oldest, take blocks off its end until enough or empty; when "
        "it is empty remove it from its parent, and push the parent if that has no child left.",
    ),
)
def eviction(context: CheckContext) -> None:
    from graders.checking.random_cases import explore
    from graders.exercises.ex3_prefix_cache import fixed_cases, random_cases

    explore(context, random_cases.evicting, cases=60, first=fixed_cases.evicting)


@LAWS.law(
    "recency",
    statement="A match touches the blocks that it returns, an insert its whole path, and nothing else: exactly, across"
    " splits too.",
    points=10,
    needs=("eviction",),
    hints=(
        "Look at a long text of which only the beginning is matched: which of its blocks are older now?",
        "One tick a call for the blocks on its path. If an edge holds several blocks, those beyond "
        "the match must keep their old tick.",
        "Split the edge where the match ends: both halves inherit the tick, then the upper one gets "
        "the new tick. Or keep a tick for every block.",
    ),
)
def recency(context: CheckContext) -> None:
    from graders.checking.random_cases import explore
    from graders.exercises.ex3_prefix_cache import fixed_cases, random_cases

    explore(context, random_cases.recency, cases=60, first=fixed_cases.exact_ages)


@LAWS.law(
    "locks",
    statement="A lock pins every block from the root to the end of its handle, across splits, until as many unlocks;"
    " evictable + protected is what is stored.",
    points=14,
    needs=("recency",),
    hints=(
        "Look at `evictable` and `protected` after lock, after a split of the locked edge, and after unlock.",
        "A lock counts on its node and on every ancestor. When an edge is split, both halves are "
        "pinned as often as it was; the handle must go on reaching its end.",
        "lock: for node up to the root: node.locks += 1. Let the lower half keep the identity of the "
        "node, so handles stay right, and copy the count to the upper half. unlock of a handle that "
        "nobody locked: ValueError; count locks per handle too.",
    ),
)
def locks(context: CheckContext) -> None:
    from graders.checking.random_cases import explore
    from graders.exercises.ex3_prefix_cache import fixed_cases, random_cases

    explore(context, random_cases.locks, cases=100, moves=14, first=fixed_cases.locking)


@LAWS.law(
    "namespaces",
    statement="Texts of different namespaces never share a block; None and the empty name are two of them.",
    points=6,
    needs=("eviction",),
    hints=(
        "Look at the same text inserted under two names: how many blocks are stored?",
        'One root for each namespace, in a dictionary; beware of `namespace or default`: "" is a name.',
        "roots.setdefault(namespace, new root). Eviction goes by age across all of them.",
    ),
)
def namespaces(context: CheckContext) -> None:
    from graders.checking.random_cases import explore
    from graders.exercises.ex3_prefix_cache import fixed_cases, random_cases

    explore(context, random_cases.namespaces, cases=50, first=fixed_cases.names)


@LAWS.law(
    "no hash alone",
    statement="Tokens are compared in full: texts that merely have the same hash, or the same sum, are "
    "different texts.",
    points=6,
    needs=("whole blocks",),
    hints=(
        "Look at what two blocks with the same hash would do to your cache: whose KV would the second request read?",
        "A hash finds the candidate, the tokens decide. A dictionary whose keys are tuples of tokens does both.",
        "Python: hash(x) == hash(x + 2**61 - 1). Keep the tokens of a block beside its hash and compare them.",
    ),
)
def no_hash_alone(context: CheckContext) -> None:
    from graders.checking.random_cases import explore
    from graders.exercises.ex3_prefix_cache import random_cases

    explore(context, random_cases.same_hash, cases=50)


@LAWS.law(
    "linear work",
    statement="match and insert look at each token a few times, however long the text is and however much is stored; "
    "no call looks through the cache, and evict finds the next leaf in O(log n).",
    points=6,
    needs=("longest prefix", "locks"),
    hints=(
        "Look for work that begins at token 0 again for every block: tokens[:end], a hash of the "
        "whole prefix, `in` on a list of children; in evict, for a list of all leaves made for one block.",
        "Each block is compared or hashed by its own tokens under its parent; what came before is in "
        "the parent already. Leaves that may go wait in an order by age: a heap, whose stale entries are thrown "
        "away when they come up.",
        "key = tuple(tokens[i : i + block_size]); node = node.children.get(key), a dictionary. A chained hash is"
        " hash((parent_hash, key)), not hash(tuple(tokens[: i + block_size])). A leaf that is made, touched or unlocked"
        " is pushed as (tick, serial, node); evict pops until an entry's tick is its node's and nobody locks it.",
    ),
)
def linear_work(context: CheckContext) -> None:
    from graders.exercises.ex3_prefix_cache.linear_work import linear_work

    linear_work(context)


@LAWS.law(
    "everything at once",
    statement="All of these laws hold together, in any order of calls.",
    points=6,
    needs=("locks", "namespaces", "no hash alone"),
    hints=(
        "Look at the last two calls of the story, and at what they have in common.",
        "Splits, locks, names and evictions meet here: which field of a node did the one change that "
        "the other relies on?",
        "After every call these hold: children found by their first block, parent links, ticks not "
        "older than a child's, locks not fewer than a child's, stored == the blocks of all nodes.",
    ),
)
def everything_at_once(context: CheckContext) -> None:
    from graders.checking.random_cases import explore
    from graders.exercises.ex3_prefix_cache import fixed_cases, random_cases

    explore(context, random_cases.everything, cases=80, moves=16, first=fixed_cases.everything)


@LAWS.law(
    "same tokens",
    statement="In the whole engine every request gets the same tokens with the cache as without it, and no block "
    "is lost.",
    points=10,
    needs=("everything at once",),
    kind="engine",
    hints=(
        "Look at the read that went wrong: who wrote that block, and when was it evicted?",
        "The engine locks what a request borrows and evicts what is not pinned. A block that is handed "
        "out again while the cache still finds it holds another text.",
        "evict forgets what it returns; insert stores nothing beyond the whole blocks of the tokens it was given.",
    ),
)
def same_tokens(context: CheckContext) -> None:
    from graders.simulation import engine_laws

    engine_laws.same_tokens(context, besides=engine_laws.photocopier)


add_throughput(
    LAWS,
    needs=("same tokens",),
    hints=(
        "Look at the figure: how many times as fast as the reference engine, and what the bound asks.",
        "An engine is slow through a prefix cache that finds less than what is there, evicts what is still wanted, or "
        "walks through the whole tree for each call.",
        "match and insert look at each block of the tokens once; evict takes the next leaf from a heap or a list kept "
        "in order of the last touch instead of looking for it.",
    ),
)
