"""Exercise 3: the prefix cache, the photocopier of an inference engine.

Write the class below. It needs nothing but the standard library and the contracts in `reference_engine.slots`.
"""

from __future__ import annotations

import heapq
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field

from reference_engine.slots import Block, Inserted, Match


### BEGIN SOLUTION
@dataclass(eq=False, slots=True)
class _Node:
    """An edge of the radix tree with its lower end: a run of blocks that are touched and pinned together.

    key: under which the parent knows it, its first block_size tokens (below the root the namespace before them).
    tokens: those of the blocks in order; what lies beyond len(blocks) * block_size was evicted and is not looked at.
    tick: when the blocks were last touched. pins: locks on this node and on everything below. handles: locks on this
    very node. queued: it has an entry in the heap of candidates.
    """

    parent: _Node | None
    key: tuple[Hashable, ...]
    tokens: list[int]
    blocks: list[Block]
    tick: int = 0
    pins: int = 0
    handles: int = 0
    queued: bool = False
    children: dict[tuple[Hashable, ...], _Node] = field(default_factory=dict)

    def path(self) -> Iterator[_Node]:
        """This node and its ancestors, the root left out."""
        node = self
        while node.parent is not None:
            yield node
            node = node.parent


@dataclass(frozen=True, slots=True)
class _Walk:
    """How far the tree and some tokens agree: the nodes passed in whole, then `within` blocks of `partial`."""

    nodes: list[_Node]
    blocks: list[Block]
    partial: _Node | None
    within: int


### END SOLUTION
class PrefixCache:
    """Remembers which blocks hold the KV of which prefix, so that a text that was read once is not read again.

    The picture. A hundred contracts of fifty common pages and one own page each: nobody prints 5,100 pages. The common
    pages are printed once, every own page once, and a contract is a list of references. Here a page is a block, the
    contract a prompt, and this class the index that says which pages exist already.

    Meaning, whatever is inside. A forest with one root for each namespace. Each stored block is a node under its
    parent, found by its `block_size` tokens; the path from the root spells the prefix whose KV the block ends. A radix
    tree that keeps a run of blocks on one edge is one way to build it; a trie with a node for every block and chained
    hashes (compared by tokens in the end) are as right.

    Numbers. What you are given as a number is an int, and so is what you return as one: no bool, no integer of numpy.

    Terms. *Touch*: a call of `match` or `insert` is one tick of a logical clock and stamps the blocks on its path.
    *Pin*: a locked handle pins every block from the root to its end. *Evictable*: stored and not pinned; *protected*:
    stored and pinned. *Namespace*: texts of different namespaces (tenants, adapters) never share, None and "" neither.

    >>> cache = PrefixCache(block_size=2)
    >>> cache.insert([1, 2, 3, 4, 5], [10, 11]).reused       # two full blocks stored; token 5 fills no block
    0
    >>> cache.match([1, 2, 3, 9, 9, 9]).blocks               # blocks are matched whole: [3, 9] is not [3, 4]
    (10,)
    >>> cache.insert([1, 2, 7, 8], [20, 21]).reused          # [1, 2] is held: block 10 stays, 20 remains the caller's
    2
    >>> both = cache.match([1, 2, 3, 4])
    >>> both.length, both.blocks
    (4, (10, 11))
    >>> cache.lock(both.node)
    >>> cache.evictable, cache.protected                     # 21 may go; 10 and 11 are pinned
    (1, 2)
    >>> cache.evict(5)
    [21]
    >>> cache.unlock(both.node)
    >>> cache.evict(5)                                       # the deepest block of a path first
    [11, 10]

    What it returns, from `reference_engine.slots`, both frozen dataclasses:

        Match(length, blocks, node)      length: int, tokens that match; blocks: a tuple of ints; node: your handle
        Inserted(reused, node)           reused: int, tokens that were held already; node: your handle

    A handle may be any object of yours: it comes back to `lock` and `unlock`, and nobody looks into it.

    The cache keeps block numbers and tokens only. It never calls the block manager: `KVManager` retains what `insert`
    newly stored and releases what `evict` returned.

    From RadixAttention (SGLang, NeurIPS'24).
    """

    def __init__(self, block_size: int) -> None:
        """An empty cache for blocks of `block_size` tokens, at least 1."""
        ### BEGIN SOLUTION
        self._block_size = block_size
        self._clock = 0
        self._root = _Node(None, (), [], [])
        self._stored: set[Block] = set()
        self._pinned = 0
        self._serial = 0
        self._candidates: list[tuple[int, int, _Node]] = []
        ### END SOLUTION

    @property
    def evictable(self) -> int:
        """How many blocks `evict` could take now: stored and not pinned. O(1)."""
        ### BEGIN SOLUTION
        return len(self._stored) - self._pinned
        ### END SOLUTION

    @property
    def protected(self) -> int:
        """How many stored blocks are pinned by some lock. evictable + protected == blocks stored. O(1)."""
        ### BEGIN SOLUTION
        return self._pinned
        ### END SOLUTION

    def match(self, tokens: Sequence[int], namespace: Hashable = None) -> Match:
        """The longest stored prefix of `tokens` in whole blocks.

        Match.length is a multiple of block_size (0 when nothing is stored), Match.blocks are its blocks in order,
        Match.node is the handle for `lock`: void after the next `evict` unless it is locked before. Tokens are compared
        in full, never by hash alone. Touches exactly the blocks it returns. O(len(tokens)).
        """
        ### BEGIN SOLUTION
        walk = self._walk(list(tokens), namespace)
        end = self._touch(walk)
        return Match(len(walk.blocks) * self._block_size, tuple(walk.blocks), end)
        ### END SOLUTION

    def lock(self, node: object) -> None:
        """Pin every block from the root to the end of this handle's match or insertion, until `unlock`.

        Locks count: as many unlocks undo as many locks, and a block is pinned while any lock covers it. The handle goes
        on covering its path whatever others insert, match or evict meanwhile. The engine locks handles of a length
        above 0 only.
        """
        ### BEGIN SOLUTION
        if not isinstance(node, _Node):
            raise ValueError("this is no handle")
        node.handles += 1
        for step in node.path():
            if not step.pins:
                self._pinned += len(step.blocks)
            step.pins += 1
        ### END SOLUTION

    def unlock(self, node: object) -> None:
        """Undo one `lock` of this handle. Raises ValueError, with nothing changed, when it is not locked.

        A handle whose path is pinned only because a longer one is locked is not locked itself.
        """
        ### BEGIN SOLUTION
        if not isinstance(node, _Node) or not node.handles:
            raise ValueError("this handle is not locked")
        node.handles -= 1
        for step in node.path():
            step.pins -= 1
            if not step.pins:
                self._pinned -= len(step.blocks)
                self._enqueue(step)
        ### END SOLUTION

    def insert(self, tokens: Sequence[int], blocks: Sequence[Block], namespace: Hashable = None) -> Inserted:
        """Store the full blocks of `tokens`: block i of `blocks` holds tokens [i * block_size, (i + 1) * block_size).

        floor(len(tokens) / block_size) blocks are stored; tokens and blocks beyond that are not looked at. Where the
        prefix is held already the old block stays, and the caller keeps its duplicate: Inserted.reused counts those
        tokens. The blocks newly stored are therefore blocks[reused // block_size : len(tokens) // block_size].
        Inserted.node is a handle on the whole path, as from `match`. Touches every block on the path, the held ones
        too. `tokens` and `blocks` are copied and left as they are: the caller may change its lists afterwards.
        Raises ValueError, with nothing changed (not even touched), when `blocks` is shorter than that, lists one block
        twice among the newly stored, or brings a block that is stored at another place. O(len(tokens)).
        """
        ### BEGIN SOLUTION
        full = len(tokens) // self._block_size
        if len(blocks) < full:
            raise ValueError(f"{len(tokens)} tokens fill {full} blocks, {len(blocks)} were given")
        key, blocks = list(tokens[: full * self._block_size]), list(blocks[:full])
        walk = self._walk(key, namespace)
        held = len(walk.blocks)
        self._check_new(blocks, walk.blocks)
        end = self._touch(walk)
        if held < full:
            name = self._key(key, held * self._block_size, namespace)
            end = self._grow(end, name, key[held * self._block_size :], blocks[held:])
        return Inserted(held * self._block_size, end)
        ### END SOLUTION

    def evict(self, num_blocks: int) -> list[Block]:
        """Remove exactly min(num_blocks, evictable) blocks, one after the other, and return them in that order.

        Each time the block goes that was touched longest ago among those that have no child and are not pinned. So a
        parent goes only after its children, and of blocks touched by the same call the deepest goes first. Unlocked
        handles from before this call are void. Works in about O(log n) a block; nothing scans the tree. The list is the
        caller's, who may change it: a new one each time.
        """
        ### BEGIN SOLUTION
        evicted: list[Block] = []
        while len(evicted) < num_blocks and self._candidates:
            tick, _, node = heapq.heappop(self._candidates)
            node.queued = False
            if node.tick != tick:
                self._enqueue(node)
            elif node.blocks and not node.children and not node.pins:
                evicted += self._shorten(node, num_blocks - len(evicted))
        self._stored.difference_update(evicted)
        return evicted
        ### END SOLUTION

    ### BEGIN SOLUTION
    def _walk(self, tokens: list[int], namespace: Hashable) -> _Walk:
        """Compare the tokens with the tree, from the root downward, whole blocks at a time. Changes nothing."""
        size = self._block_size
        nodes: list[_Node] = []
        blocks: list[Block] = []
        node = self._root
        while True:
            start = len(blocks) * size
            child = node.children.get(self._key(tokens, start, namespace))
            if child is None:
                return _Walk(nodes, blocks, None, 0)
            common = _common_blocks(child, tokens, start, size)
            blocks += child.blocks[:common]
            if common < len(child.blocks):
                return _Walk(nodes, blocks, child, common)
            nodes.append(child)
            node = child

    def _touch(self, walk: _Walk) -> _Node:
        """Stamp the blocks of the walk with a new tick; its last node, cut off from the rest of the edge if need be."""
        self._clock += 1
        for node in walk.nodes:
            node.tick = self._clock
        end = walk.nodes[-1] if walk.nodes else self._root
        if walk.partial is not None:
            end = self._split(walk.partial, walk.within)
            end.tick = self._clock
        return end

    def _split(self, lower: _Node, count: int) -> _Node:
        """Cut the first `count` blocks off an edge: the new node above it.

        `lower` keeps its identity, so handles on it go on covering their whole path; the upper half inherits the pins
        and the last touch, but no handle.
        """
        cut = count * self._block_size
        parent = lower.parent
        assert parent is not None
        upper = _Node(parent, lower.key, lower.tokens[:cut], lower.blocks[:count], tick=lower.tick, pins=lower.pins)
        parent.children[upper.key] = upper
        del lower.tokens[:cut]
        del lower.blocks[:count]
        lower.parent, lower.key = upper, tuple(lower.tokens[: self._block_size])
        upper.children[lower.key] = lower
        return upper

    def _grow(self, parent: _Node, key: tuple[Hashable, ...], tokens: list[int], blocks: list[Block]) -> _Node:
        """A new leaf under `parent`."""
        leaf = _Node(parent, key, tokens, blocks, tick=self._clock)
        parent.children[key] = leaf
        self._stored.update(blocks)
        self._enqueue(leaf)
        return leaf

    def _shorten(self, leaf: _Node, most: int) -> list[Block]:
        """Take up to `most` blocks off the end of an unpinned leaf, last one first; the leaf goes when it is empty."""
        keep = max(0, len(leaf.blocks) - most)
        taken = leaf.blocks[keep:][::-1]
        if keep:
            del leaf.blocks[keep:]
            self._enqueue(leaf)
            return taken
        parent = leaf.parent
        assert parent is not None
        del parent.children[leaf.key]
        leaf.blocks.clear()
        self._enqueue(parent)
        return taken

    def _enqueue(self, node: _Node) -> None:
        """Make the node a candidate for eviction if it is one; the entry may grow stale, `evict` will see."""
        if node.blocks and not node.children and not node.pins and not node.queued:
            self._serial += 1
            node.queued = True
            heapq.heappush(self._candidates, (node.tick, self._serial, node))

    def _check_new(self, blocks: list[Block], held: list[Block]) -> None:
        """ValueError when one of `blocks` is stored elsewhere than where `held`, the beginning of the path, has it."""
        new = blocks[len(held) :]
        if len(set(new)) < len(new):
            raise ValueError(f"a block is listed twice: {new}")
        foreign = {block for block, old in zip(blocks, held, strict=False) if block != old} | set(new)
        if not foreign.isdisjoint(self._stored):
            raise ValueError(f"block {min(foreign & self._stored)} is stored at another place")

    def _key(self, tokens: list[int], start: int, namespace: Hashable) -> tuple[Hashable, ...]:
        """Under which a node that begins at `start` would be known; one root serves every namespace."""
        block = tokens[start : start + self._block_size]
        return tuple(block) if start else (namespace, *block)


def _common_blocks(node: _Node, tokens: list[int], start: int, size: int) -> int:
    """How many of the node's blocks equal tokens[start:], at least 1: the first is known to.

    Halves the stretch in doubt each time, so that each token is compared once in all, most of them in one go.
    """
    low, high = 1, min(len(node.blocks), (len(tokens) - start) // size)
    while low < high:
        middle = (low + high + 1) // 2
        if node.tokens[low * size : middle * size] == tokens[start + low * size : start + middle * size]:
            low = middle
        else:
            high = middle - 1
    return low


### END SOLUTION
