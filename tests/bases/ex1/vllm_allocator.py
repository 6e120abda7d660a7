"""Right: in the manner of vLLM's second block manager: an allocator with a counter of references and a tracker of
copies, and a table object for each sequence that asks it for blocks.
"""

from collections import Counter, deque

from reference_engine.slots import Copy, OutOfBlocks


class RefCounter:
    def __init__(self, all_block_indices):
        self.refcounts = dict.fromkeys(all_block_indices, 0)

    def incr(self, block_id):
        self.refcounts[block_id] += 1

    def decr(self, block_id):
        self.refcounts[block_id] -= 1
        return self.refcounts[block_id]


class CopyOnWriteTracker:
    def __init__(self):
        self.copy_on_writes = []

    def record_cow(self, src, dst):
        self.copy_on_writes.append(Copy(src, dst))

    def clear_cows(self):
        cows, self.copy_on_writes = self.copy_on_writes, []
        return cows


class NaiveBlockAllocator:
    def __init__(self, num_blocks):
        self.free_block_indices = deque(range(num_blocks - 1, 0, -1))
        self.refcounter = RefCounter(range(num_blocks))
        self.cow_tracker = CopyOnWriteTracker()

    def allocate(self):
        block_id = self.free_block_indices.popleft()
        self.refcounter.incr(block_id)
        return block_id

    def free(self, block_ids):
        """Those that nobody references any more."""
        gone = [block_id for block_id in block_ids if not self.refcounter.decr(block_id)]
        self.free_block_indices.extend(gone)
        return gone

    def shared(self, block_id):
        return self.refcounter.refcounts[block_id] > 1

    def cow(self, block_id):
        fresh = self.allocate()
        self.free([block_id])
        self.cow_tracker.record_cow(block_id, fresh)
        return fresh


class BlockTable:
    def __init__(self, blocks, num_full_slots):
        self.blocks = blocks
        self.num_full_slots = num_full_slots

    def fork(self):
        return BlockTable(self.blocks[:], self.num_full_slots)


class BlockManager:
    def __init__(self, num_blocks, block_size, *, watermark=0):
        if num_blocks < 2 or block_size < 1:
            raise ValueError("block manager")
        self.block_size, self.watermark_blocks = block_size, watermark
        self.block_allocator = NaiveBlockAllocator(num_blocks)
        self.block_tables = {}
        self.held_by_cache = Counter()

    @property
    def num_free(self):
        return len(self.block_allocator.free_block_indices)

    def length(self, seq):
        return self.block_tables[seq].num_full_slots

    def table(self, seq):
        return tuple(self.block_tables[seq].blocks)

    def ref(self, block):
        return self.block_allocator.refcounter.refcounts[block]

    def required(self, num_tokens):
        full, rest = divmod(num_tokens, self.block_size)
        return full + (rest > 0)

    def writes_shared(self, table, num_tokens):
        grows = num_tokens > table.num_full_slots and table.num_full_slots % self.block_size
        return bool(grows) and self.block_allocator.shared(table.blocks[-1])

    def blocks_needed(self, seq, num_tokens):
        table = self.block_tables[seq]
        return self.required(num_tokens) + self.writes_shared(table, num_tokens) - len(table.blocks)

    def usable(self, num_tokens, shared):
        distinct = len({*shared}) == len(shared) <= self.required(num_tokens)
        return num_tokens > 0 and distinct and all(self.ref(block) for block in shared)

    def can_admit(self, num_tokens, shared=()):
        left = self.num_free + len(shared) - self.required(num_tokens)
        return self.usable(num_tokens, shared) and left >= self.watermark_blocks

    def admit(self, seq, num_tokens, shared=()):
        if seq in self.block_tables or not self.usable(num_tokens, shared):
            raise ValueError(seq)
        if not self.can_admit(num_tokens, shared):
            raise OutOfBlocks
        for block_id in shared:
            self.block_allocator.refcounter.incr(block_id)
        new = [self.block_allocator.allocate() for _ in range(self.required(num_tokens) - len(shared))]
        self.block_tables[seq] = BlockTable([*shared, *new], num_tokens)
        return new

    def extend(self, seq, num_tokens):
        table = self.block_tables[seq]
        if num_tokens < table.num_full_slots:
            raise ValueError(num_tokens)
        if self.blocks_needed(seq, num_tokens) > self.num_free:
            raise OutOfBlocks
        if self.writes_shared(table, num_tokens):
            table.blocks[-1] = self.block_allocator.cow(table.blocks[-1])
        cows = self.block_allocator.cow_tracker.clear_cows()
        new = [cow.dst for cow in cows]
        while len(table.blocks) * self.block_size < num_tokens:
            table.blocks.append(self.block_allocator.allocate())
            new.append(table.blocks[-1])
        table.num_full_slots = num_tokens
        return new, cows

    def truncate(self, seq, num_tokens):
        table = self.block_tables[seq]
        if num_tokens < 0 or num_tokens > table.num_full_slots:
            raise ValueError(num_tokens)
        keep = self.required(num_tokens)
        cut = table.blocks[keep:]
        del table.blocks[keep:]
        table.num_full_slots = num_tokens
        return self.block_allocator.free(cut)

    def fork(self, parent, child):
        source = self.block_tables[parent]
        if child in self.block_tables:
            raise ValueError(child)
        for block_id in source.blocks:
            self.block_allocator.refcounter.incr(block_id)
        self.block_tables[child] = source.fork()

    def free(self, seq):
        return self.block_allocator.free(self.block_tables.pop(seq).blocks)

    def retain(self, blocks):
        ids = tuple(blocks)
        if not all(map(self.ref, ids)):
            raise ValueError(ids)
        for block_id in ids:
            self.block_allocator.refcounter.incr(block_id)
        self.held_by_cache.update(ids)

    def release(self, blocks):
        ids = tuple(blocks)
        if Counter(ids) - self.held_by_cache:
            raise ValueError(ids)
        self.held_by_cache -= Counter(ids)
        return self.block_allocator.free(ids)
