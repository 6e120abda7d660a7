"""Parts to surround the part under test with where no others are loaded: the shortest that keep the contract.

They look through everything they hold and are slow; nobody measures them. Nothing forks here.
"""

from reference_engine.slots import Inserted, Match, OutOfBlocks


class BlockManager:
    """A dict of tables and a list of what the cache retains."""

    def __init__(self, num_blocks, block_size, *, watermark=0):
        self.free_blocks = set(range(1, num_blocks))
        self.size = block_size
        self.watermark = watermark
        self.tables = {}
        self.lengths = {}
        self.retained = set()

    @property
    def num_free(self):
        return len(self.free_blocks)

    def table(self, seq):
        return self.tables[seq]

    def blocks_needed(self, seq, num_tokens):
        return -(-num_tokens // self.size) - len(self.tables[seq])

    def can_admit(self, num_tokens, shared=()):
        return self.num_free - (-(-num_tokens // self.size) - len(shared)) >= self.watermark

    def admit(self, seq, num_tokens, shared=()):
        if not self.can_admit(num_tokens, shared):
            raise OutOfBlocks
        self.tables[seq] = list(shared)
        self.lengths[seq] = 0
        return self._grow(seq, num_tokens)

    def extend(self, seq, num_tokens):
        if self.blocks_needed(seq, num_tokens) > self.num_free:
            raise OutOfBlocks
        return self._grow(seq, num_tokens), []

    def truncate(self, seq, num_tokens):
        keep = -(-num_tokens // self.size)
        dropped, self.tables[seq][keep:] = self.tables[seq][keep:], []
        self.lengths[seq] = num_tokens
        return self._fall(dropped)

    def free(self, seq):
        del self.lengths[seq]
        return self._fall(self.tables.pop(seq))

    def retain(self, blocks):
        self.retained.update(blocks)

    def release(self, blocks):
        self.retained.difference_update(blocks)
        return self._fall(blocks)

    def _grow(self, seq, num_tokens):
        new = sorted(self.free_blocks)[: self.blocks_needed(seq, num_tokens)]
        self.free_blocks.difference_update(new)
        self.tables[seq] += new
        self.lengths[seq] = num_tokens
        return new

    def _fall(self, blocks):
        held = self.retained.union(*self.tables.values())
        fallen = [block for block in blocks if block not in held]
        self.free_blocks.update(fallen)
        return fallen


class PrefixCache:
    """A dict from a whole prefix to its block."""

    def __init__(self, block_size):
        self.size = block_size
        self.clock = 0
        self.blocks = {}
        self.touched = {}
        self.locks = []

    @property
    def evictable(self):
        return len(self.blocks) - self.protected

    @property
    def protected(self):
        return sum(self._pinned(prefix) for prefix in self.blocks)

    def match(self, tokens, namespace=None):
        path = []
        for prefix in self._prefixes(tokens):
            if prefix not in self.blocks:
                break
            path.append(prefix)
        self._touch(path)
        return Match(len(path) * self.size, tuple(self.blocks[prefix] for prefix in path), path[-1] if path else ())

    def lock(self, node):
        self.locks.append(node)

    def unlock(self, node):
        self.locks.remove(node)

    def insert(self, tokens, blocks, namespace=None):
        path = self._prefixes(tokens)
        reused = sum(prefix in self.blocks for prefix in path)
        for prefix, block in zip(path, blocks, strict=False):
            self.blocks.setdefault(prefix, block)
        self._touch(path)
        return Inserted(reused * self.size, path[-1] if path else ())

    def evict(self, num_blocks):
        evicted = []
        for _ in range(min(num_blocks, self.evictable)):
            parents = {prefix[: -self.size] for prefix in self.blocks}
            leaves = [prefix for prefix in self.blocks if prefix not in parents and not self._pinned(prefix)]
            evicted.append(self.blocks.pop(min(leaves, key=self.touched.__getitem__)))
        return evicted

    def _prefixes(self, tokens):
        return [tuple(tokens[:end]) for end in range(self.size, len(tokens) + 1, self.size)]

    def _pinned(self, prefix):
        return any(node[: len(prefix)] == prefix for node in self.locks)

    def _touch(self, path):
        self.clock += 1
        self.touched.update(dict.fromkeys(path, self.clock))
