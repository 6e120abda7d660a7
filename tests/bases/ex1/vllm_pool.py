"""Right: in the manner of vLLM's block pool: block objects that know their neighbours in a queue of free ones.

Blocks are taken at the head of the queue and put back at its tail, those of a sequence last block first.
"""

from collections import Counter

from reference_engine.slots import Copy, OutOfBlocks


class PoolBlock:
    __slots__ = ("after", "before", "id", "ref_cnt", "retained")

    def __init__(self, id):
        self.id = id
        self.ref_cnt = 0
        self.retained = 0
        self.before = self.after = None


class FreeQueue:
    """A doubly linked list with two fake ends."""

    def __init__(self, blocks):
        self.count = 0
        self.head, self.tail = PoolBlock(-1), PoolBlock(-1)
        self.head.after, self.tail.before = self.tail, self.head
        for block in blocks:
            self.append(block)

    def popleft(self):
        block = self.head.after
        self.head.after, block.after.before = block.after, self.head
        block.before = block.after = None
        self.count -= 1
        return block

    def append(self, block):
        last = self.tail.before
        last.after = self.tail.before = block
        block.before, block.after = last, self.tail
        self.count += 1


class BlockManager:
    def __init__(self, num_blocks, block_size, *, watermark=0):
        if num_blocks < 2 or block_size < 1:
            raise ValueError("no such pool")
        self.block_size = block_size
        self.watermark = watermark
        self.blocks = [PoolBlock(id) for id in range(num_blocks)]
        self.queue = FreeQueue(self.blocks[1:])
        self.req_to_blocks = {}
        self.num_tokens = {}

    @property
    def num_free(self):
        return self.queue.count

    def length(self, seq):
        return self.num_tokens[seq]

    def table(self, seq):
        return [block.id for block in self.req_to_blocks[seq]]

    def ref(self, block):
        return self.blocks[block].ref_cnt

    def cdiv(self, num_tokens):
        return (num_tokens + self.block_size - 1) // self.block_size

    def last_is_shared(self, seq, num_tokens):
        length = self.num_tokens[seq]
        return num_tokens > length and length % self.block_size > 0 and self.req_to_blocks[seq][-1].ref_cnt > 1

    def blocks_needed(self, seq, num_tokens):
        if num_tokens < self.num_tokens[seq]:
            raise ValueError("shrinks")
        return self.cdiv(num_tokens) - len(self.req_to_blocks[seq]) + self.last_is_shared(seq, num_tokens)

    def touched(self, num_tokens, shared):
        """The shared blocks as objects; None for what has to be refused."""
        if num_tokens < 1 or len(shared) > self.cdiv(num_tokens) or len(set(shared)) < len(shared):
            return None
        found = [self.blocks[block] for block in shared]
        return found if all(block.ref_cnt for block in found) else None

    def fits(self, num_tokens, shared):
        return self.queue.count - self.cdiv(num_tokens) + len(shared) >= self.watermark

    def can_admit(self, num_tokens, shared=()):
        return self.touched(num_tokens, shared) is not None and self.fits(num_tokens, shared)

    def get_new_blocks(self, count):
        new = [self.queue.popleft() for _ in range(count)]
        for block in new:
            block.ref_cnt = 1
        return new

    def free_blocks(self, blocks):
        freed = []
        for block in blocks:
            block.ref_cnt -= 1
            if block.ref_cnt == 0:
                self.queue.append(block)
                freed.append(block.id)
        return freed

    def admit(self, seq, num_tokens, shared=()):
        found = self.touched(num_tokens, shared)
        if seq in self.req_to_blocks or found is None:
            raise ValueError("admit")
        if not self.fits(num_tokens, shared):
            raise OutOfBlocks
        for block in found:
            block.ref_cnt += 1
        new = self.get_new_blocks(self.cdiv(num_tokens) - len(found))
        self.req_to_blocks[seq] = found + new
        self.num_tokens[seq] = num_tokens
        return [block.id for block in new]

    def extend(self, seq, num_tokens):
        table = self.req_to_blocks[seq]
        needed = self.blocks_needed(seq, num_tokens)
        if needed > self.queue.count:
            raise OutOfBlocks
        shared = self.last_is_shared(seq, num_tokens)
        new = self.get_new_blocks(needed)
        self.num_tokens[seq] = num_tokens
        ids = [block.id for block in new]
        if not shared:
            table += new
            return ids, []
        fresh, old = new[-1], table.pop()  # the last of the new ones is the copy, and opens the rest in the table
        table += [fresh, *new[:-1]]
        old.ref_cnt -= 1
        return ids, [Copy(old.id, fresh.id)]

    def truncate(self, seq, num_tokens):
        if not 0 <= num_tokens <= self.num_tokens[seq]:
            raise ValueError("truncate")
        table, keep = self.req_to_blocks[seq], self.cdiv(num_tokens)
        dropped = table[keep:]
        del table[keep:]
        self.num_tokens[seq] = num_tokens
        return self.free_blocks(reversed(dropped))

    def fork(self, parent, child):
        table = self.req_to_blocks[parent]
        if child in self.req_to_blocks:
            raise ValueError("fork")
        for block in table:
            block.ref_cnt += 1
        self.req_to_blocks[child] = table.copy()
        self.num_tokens[child] = self.num_tokens[parent]

    def free(self, seq):
        table = self.req_to_blocks.pop(seq)
        del self.num_tokens[seq]
        return self.free_blocks(reversed(table))

    def retain(self, blocks):
        found = [self.blocks[block] for block in blocks]
        if not all(block.ref_cnt for block in found):
            raise ValueError("retain")
        for block in found:
            block.ref_cnt += 1
            block.retained += 1

    def release(self, blocks):
        ids = list(blocks)
        if any(times > self.blocks[id].retained for id, times in Counter(ids).items()):
            raise ValueError("release")
        found = [self.blocks[id] for id in ids]
        for block in found:
            block.retained -= 1
        return self.free_blocks(found)
