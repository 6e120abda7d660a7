"""Right: in the manner of nano-vllm: ids in a deque of free and a set of used ones, freed head first."""

from collections import Counter, deque

from reference_engine.slots import Copy, OutOfBlocks


class BlockManager:
    def __init__(self, num_blocks, block_size, *, watermark=0):
        if num_blocks < 2 or block_size < 1:
            raise ValueError("no such pool")
        self.block_size = block_size
        self.watermark = watermark
        self.free_block_ids = deque(range(1, num_blocks))
        self.used_block_ids = set()
        self.tables = {}
        self.lengths = {}
        self.refs = Counter()
        self.retained = Counter()

    @property
    def num_free(self):
        return len(self.free_block_ids)

    def length(self, seq):
        return self.lengths[seq]

    def table(self, seq):
        return self.tables[seq]

    def ref(self, block):
        return self.refs[block]

    def blocks_for(self, num_tokens):
        return -(-num_tokens // self.block_size)

    def diverges(self, seq, num_tokens):
        length, table = self.lengths[seq], self.tables[seq]
        return num_tokens > length and length % self.block_size != 0 and self.refs[table[-1]] > 1

    def blocks_needed(self, seq, num_tokens):
        return self.blocks_for(num_tokens) - len(self.tables[seq]) + self.diverges(seq, num_tokens)

    def forbidden(self, num_tokens, shared):
        if num_tokens < 1 or len(shared) > self.blocks_for(num_tokens):
            return True
        return len(set(shared)) < len(shared) or not all(self.refs[block] for block in shared)

    def fits(self, num_tokens, shared):
        return self.num_free - (self.blocks_for(num_tokens) - len(shared)) >= self.watermark

    def can_admit(self, num_tokens, shared=()):
        return not self.forbidden(num_tokens, shared) and self.fits(num_tokens, shared)

    def take(self, count):
        new = []
        for _ in range(count):
            block = self.free_block_ids.popleft()
            self.used_block_ids.add(block)
            self.refs[block] = 1
            new.append(block)
        return new

    def drop(self, blocks):
        freed = []
        for block in blocks:
            self.refs[block] -= 1
            if self.refs[block] == 0:
                self.used_block_ids.remove(block)
                self.free_block_ids.append(block)
                freed.append(block)
        return freed

    def admit(self, seq, num_tokens, shared=()):
        if seq in self.tables or self.forbidden(num_tokens, shared):
            raise ValueError("admit")
        if not self.fits(num_tokens, shared):
            raise OutOfBlocks
        for block in shared:
            self.refs[block] += 1
        new = self.take(self.blocks_for(num_tokens) - len(shared))
        self.tables[seq] = [*shared, *new]
        self.lengths[seq] = num_tokens
        return new

    def extend(self, seq, num_tokens):
        table = self.tables[seq]
        if num_tokens < self.lengths[seq]:
            raise ValueError("extend")
        if self.blocks_needed(seq, num_tokens) > self.num_free:
            raise OutOfBlocks
        copies = []
        new = []
        if self.diverges(seq, num_tokens):
            new = self.take(1)
            old, table[-1] = table[-1], new[0]
            self.drop([old])
            copies.append(Copy(old, new[0]))
        more = self.take(self.blocks_for(num_tokens) - len(table))
        table += more
        self.lengths[seq] = num_tokens
        return new + more, copies

    def truncate(self, seq, num_tokens):
        if not 0 <= num_tokens <= self.lengths[seq]:
            raise ValueError("truncate")
        table = self.tables[seq]
        keep = self.blocks_for(num_tokens)
        dropped = table[keep:]
        del table[keep:]
        self.lengths[seq] = num_tokens
        return self.drop(dropped)

    def fork(self, parent, child):
        table = self.tables[parent]
        if child in self.tables:
            raise ValueError("fork")
        for block in table:
            self.refs[block] += 1
        self.tables[child] = list(table)
        self.lengths[child] = self.lengths[parent]

    def free(self, seq):
        table = self.tables.pop(seq)
        del self.lengths[seq]
        return self.drop(table)

    def retain(self, blocks):
        blocks = list(blocks)
        if not all(self.refs[block] for block in blocks):
            raise ValueError("retain")
        for block in blocks:
            self.refs[block] += 1
            self.retained[block] += 1

    def release(self, blocks):
        blocks = list(blocks)
        for block, times in Counter(blocks).items():
            if times > self.retained[block]:
                raise ValueError("release")
        self.retained.subtract(blocks)
        return self.drop(blocks)
