"""A small right block manager that hostile parts are made of, a way for them to say how an escape
went, and to find the engine that they serve in.

The suite puts this text in the place of an attack's `from right import ...`, since one file is
handed in, not two.
"""

from reference_engine.slots import Copy, OutOfBlocks


def tried(escape, *args):
    """Try it and say on stdout whether it worked; anything raised means that it was stopped."""
    try:
        escape(*args)
    except BaseException as stopped:
        print("escape: blocked:", type(stopped).__name__, stopped)
    else:
        print("escape: open:", escape.__name__)


def engine():
    """The timed engine among those who called, None where there is none."""
    import sys

    frame = sys._getframe()
    while frame is not None:
        found = frame.f_locals.get("self")
        if type(found).__name__ == "AskingEngine":
            return found
        frame = frame.f_back


class Right:
    def __init__(self, num_blocks, block_size, *, watermark=0):
        if num_blocks < 2 or block_size < 1:
            raise ValueError("a pool has at least two blocks of at least one token")
        self.size, self.watermark = block_size, watermark
        self.unused = list(range(1, num_blocks))
        self.refs, self.kept = [0] * num_blocks, [0] * num_blocks
        self.tables, self.lengths = {}, {}

    @property
    def num_free(self):
        return len(self.unused)

    def length(self, seq):
        return self.lengths[seq]

    def table(self, seq):
        return tuple(self.tables[seq])

    def ref(self, block):
        return self.refs[block]

    def blocks_for(self, tokens):
        return -(-tokens // self.size)

    def copies(self, seq, tokens):
        length, table = self.lengths[seq], self.tables[seq]
        return tokens > length and length % self.size > 0 and self.refs[table[-1]] > 1

    def blocks_needed(self, seq, num_tokens):
        return max(0, self.blocks_for(num_tokens) - len(self.tables[seq])) + self.copies(
            seq, num_tokens
        )

    def legal(self, num_tokens, shared):
        distinct = len(shared) == len(set(shared)) and all(self.refs[block] for block in shared)
        return num_tokens >= 1 and distinct and len(shared) <= self.blocks_for(num_tokens)

    def can_admit(self, num_tokens, shared=()):
        return self.legal(num_tokens, shared) and self.fits(num_tokens, shared)

    def fits(self, num_tokens, shared):
        return self.blocks_for(num_tokens) - len(shared) + self.watermark <= len(self.unused)

    def take(self, count):
        taken = [self.unused.pop() for _ in range(count)]
        for block in taken:
            self.refs[block] = 1
        return taken

    def drop(self, blocks):
        freed = []
        for block in blocks:
            self.refs[block] -= 1
            if not self.refs[block]:
                freed.append(block)
        self.unused.extend(freed)
        return freed

    def admit(self, seq, num_tokens, shared=()):
        shared = list(shared)
        if seq in self.tables or not self.legal(num_tokens, shared):
            raise ValueError("a known id, no tokens, or blocks that cannot be shared")
        if not self.fits(num_tokens, shared):
            raise OutOfBlocks
        for block in shared:
            self.refs[block] += 1
        new = self.take(self.blocks_for(num_tokens) - len(shared))
        self.tables[seq], self.lengths[seq] = shared + new, num_tokens
        return new

    def extend(self, seq, num_tokens):
        table = self.tables[seq]
        if num_tokens < self.lengths[seq]:
            raise ValueError("extend does not shrink")
        if self.blocks_needed(seq, num_tokens) > len(self.unused):
            raise OutOfBlocks
        copied = self.copies(seq, num_tokens)
        new = self.take(self.blocks_needed(seq, num_tokens))
        moves = []
        if copied:
            moves = [Copy(table[-1], new[0])]
            self.drop([table[-1]])
            table[-1] = new[0]
        table.extend(new[copied:])
        self.lengths[seq] = num_tokens
        return new, moves

    def truncate(self, seq, num_tokens):
        table = self.tables[seq]
        if not 0 <= num_tokens <= self.lengths[seq]:
            raise ValueError("truncate does not grow")
        keep = self.blocks_for(num_tokens)
        gone = table[keep:][::-1]
        del table[keep:]
        self.lengths[seq] = num_tokens
        return self.drop(gone)

    def fork(self, parent, child):
        if child in self.tables:
            raise ValueError("a known id")
        self.tables[child], self.lengths[child] = list(self.tables[parent]), self.lengths[parent]
        for block in self.tables[child]:
            self.refs[block] += 1

    def free(self, seq):
        table = self.tables.pop(seq)
        del self.lengths[seq]
        return self.drop(table[::-1])

    def retain(self, blocks):
        blocks = list(blocks)
        if not all(self.refs[block] for block in blocks):
            raise ValueError("a free block")
        for block in blocks:
            self.refs[block] += 1
            self.kept[block] += 1

    def release(self, blocks):
        blocks = list(blocks)
        if any(blocks.count(block) > self.kept[block] for block in blocks):
            raise ValueError("more than was retained")
        for block in blocks:
            self.kept[block] -= 1
        return self.drop(blocks)
