"""Right: laid out as vLLM's prefix caching, with what this contract asks beyond it.

A block is found by the hash of its parent's hash, its tokens and the namespace; blocks nobody holds wait in a queue.
vLLM trusts the hash, keeps duplicates, and puts blocks into the queue when they are let go; here tokens and the parent
are compared, a held block stays the only one, and the queue is in the order of the last touch.
"""

from collections import OrderedDict

from reference_engine.slots import Inserted, Match


class KVCacheBlock:
    def __init__(self, block_id, block_hash, token_ids, parent, extra_keys):
        self.block_id, self.block_hash, self.parent = block_id, block_hash, parent
        self.token_ids, self.extra_keys = token_ids, extra_keys
        self.ref_cnt = self.locks = self.children = 0


class PrefixCache:
    def __init__(self, block_size):
        self.block_size = block_size
        self.cached = {}  # hash -> blocks that have it
        self.pool = {}  # block id -> block
        self.queue = OrderedDict()  # block ids that may go, but for their children; the first goes first
        self.used = 0

    @property
    def evictable(self):
        return len(self.pool) - self.used

    @property
    def protected(self):
        return self.used

    def match(self, tokens, namespace=None):
        hit = self._hits(self._tokens(tokens), (namespace,))
        self._touch(hit)
        ids = tuple(block.block_id for block in hit)
        return Match(len(ids) * self.block_size, ids, hit[-1] if hit else None)

    def insert(self, tokens, blocks, namespace=None):
        pieces, extra_keys = self._tokens(tokens), (namespace,)
        hit = self._hits(pieces, extra_keys)
        reused = len(hit)
        new = [int(block) for block in blocks[reused : len(pieces)]]
        if len(blocks) < len(pieces) or len({*new}) < len(new) or any(block in self.pool for block in new):
            raise ValueError("these blocks do not do")
        for block_id, token_ids in zip(new, pieces[reused:], strict=True):
            parent = hit[-1] if hit else None
            block_hash = self._hash(parent, token_ids, extra_keys)
            block = KVCacheBlock(block_id, block_hash, token_ids, parent, extra_keys)
            if parent is not None:
                parent.children += 1
            self.cached.setdefault(block_hash, []).append(block)
            self.pool[block_id] = block
            hit.append(block)
        self._touch(hit)
        return Inserted(reused * self.block_size, hit[-1] if hit else None)

    def lock(self, node):
        if node is not None:
            node.locks += 1
        while node is not None:
            node.ref_cnt += 1
            self.used += node.ref_cnt == 1
            node = node.parent

    def unlock(self, node):
        if node is None or node.locks == 0:
            raise ValueError("not locked")
        node.locks -= 1
        while node is not None:
            node.ref_cnt -= 1
            self.used -= node.ref_cnt == 0
            node = node.parent

    def evict(self, num_blocks):
        freed = []
        for _ in range(min(num_blocks, self.evictable)):
            block = next(block for block in self.queue.values() if not block.ref_cnt and not block.children)
            del self.queue[block.block_id], self.pool[block.block_id]
            self.cached[block.block_hash].remove(block)
            if not self.cached[block.block_hash]:
                del self.cached[block.block_hash]
            if block.parent is not None:
                block.parent.children -= 1
            freed.append(block.block_id)
        return freed

    def _tokens(self, tokens):
        full = len(tokens) - len(tokens) % self.block_size
        return [tuple(tokens[at : at + self.block_size]) for at in range(0, full, self.block_size)]

    def _hash(self, parent, token_ids, extra_keys):
        return hash((parent.block_hash if parent else None, token_ids, extra_keys))

    def _hits(self, pieces, extra_keys):
        hits, parent = [], None
        for token_ids in pieces:
            found = self.cached.get(self._hash(parent, token_ids, extra_keys), ())
            parent = next(
                (
                    block
                    for block in found
                    if (block.parent, block.token_ids, block.extra_keys) == (parent, token_ids, extra_keys)
                ),
                None,
            )
            if parent is None:
                break
            hits.append(parent)
        return hits

    def _touch(self, blocks):
        """Deepest first, so that a path goes from its end."""
        for block in reversed(blocks):
            self.queue[block.block_id] = block
            self.queue.move_to_end(block.block_id)
