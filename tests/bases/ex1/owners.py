"""Right: in the manner of TensorRT-LLM's cache manager: every block knows how many sequences hold it and how many are
held by the cache alone, and a block is looked up in what a request has; free blocks lie in an ordered dictionary.
"""

from reference_engine.slots import Copy, OutOfBlocks


class KVCacheBlock:
    def __init__(self):
        self.in_tables = self.in_cache = 0

    @property
    def ref_count(self):
        return self.in_tables + self.in_cache


class GenerationRequest:
    def __init__(self, block_ids, num_tokens):
        self.block_ids, self.num_tokens = block_ids, num_tokens


class BlockManager:
    def __init__(self, num_blocks, block_size, *, watermark=0):
        if num_blocks <= 1 or block_size <= 0:
            raise ValueError("mNumPrimaryBlocks, mTokensPerBlock")
        self.tokens_per_block, self.reserve = block_size, watermark
        self.all_blocks = [KVCacheBlock() for _ in range(num_blocks)]
        self.free_queue = dict.fromkeys(range(1, num_blocks))
        self.requests = {}

    @property
    def num_free(self):
        return len(self.free_queue)

    def length(self, seq):
        return self.requests[seq].num_tokens

    def table(self, seq):
        return list(self.requests[seq].block_ids)

    def ref(self, block):
        return self.all_blocks[block].ref_count

    def _ceil(self, num_tokens):
        return (num_tokens - 1) // self.tokens_per_block + 1

    def _tail_is_shared(self, request, num_tokens):
        begins_block = request.num_tokens % self.tokens_per_block == 0
        return num_tokens != request.num_tokens and not begins_block and self.ref(request.block_ids[-1]) > 1

    def blocks_needed(self, seq, num_tokens):
        request = self.requests[seq]
        more = self._ceil(num_tokens) - len(request.block_ids)
        return more + 1 if self._tail_is_shared(request, num_tokens) else more

    def can_admit(self, num_tokens, shared=()):
        if num_tokens < 1 or len(shared) > self._ceil(num_tokens) or len(frozenset(shared)) != len(shared):
            return False
        if any(self.ref(block) == 0 for block in shared):
            return False
        return self._ceil(num_tokens) - len(shared) <= len(self.free_queue) - self.reserve

    def _get_free_block(self):
        block, _ = self.free_queue.popitem()
        self.all_blocks[block].in_tables = 1
        return block

    def _release_last(self, blocks):
        """A table less for each."""
        gone = []
        for block in blocks:
            self.all_blocks[block].in_tables -= 1
            if not self.all_blocks[block].ref_count:
                self.free_queue[block] = None
                gone.append(block)
        return gone

    def admit(self, seq, num_tokens, shared=()):
        if seq in self.requests or num_tokens < 1 or len(shared) > self._ceil(num_tokens):
            raise ValueError("addSequence")
        if len(frozenset(shared)) != len(shared) or any(self.ref(block) == 0 for block in shared):
            raise ValueError("addSequence")
        if not self.can_admit(num_tokens, shared):
            raise OutOfBlocks("addSequence")
        block_ids = []
        for block in shared:
            self.all_blocks[block].in_tables += 1
            block_ids.append(block)
        fresh = [self._get_free_block() for _ in range(self._ceil(num_tokens) - len(shared))]
        self.requests[seq] = GenerationRequest(block_ids + fresh, num_tokens)
        return fresh

    def extend(self, seq, num_tokens):
        request = self.requests[seq]
        if num_tokens < request.num_tokens:
            raise ValueError("addToken")
        if self.blocks_needed(seq, num_tokens) > len(self.free_queue):
            raise OutOfBlocks("addToken")
        fresh, copies = [], []
        if self._tail_is_shared(request, num_tokens):
            fresh.append(self._get_free_block())
            copies.append(Copy(src=request.block_ids[-1], dst=fresh[0]))
            self._release_last([request.block_ids.pop()])
            request.block_ids.append(fresh[0])
        for _ in range(self._ceil(num_tokens) - len(request.block_ids)):
            fresh.append(self._get_free_block())
            request.block_ids.append(fresh[-1])
        request.num_tokens = num_tokens
        return fresh, copies

    def truncate(self, seq, num_tokens):
        request = self.requests[seq]
        if not 0 <= num_tokens <= request.num_tokens:
            raise ValueError("removeTokens")
        request.num_tokens, taken = num_tokens, []
        while len(request.block_ids) > self._ceil(num_tokens):
            taken.append(request.block_ids.pop())
        return self._release_last(taken)

    def fork(self, parent, child):
        request = self.requests[parent]
        if child in self.requests:
            raise ValueError("addSequence")
        for block in request.block_ids:
            self.all_blocks[block].in_tables += 1
        self.requests[child] = GenerationRequest([*request.block_ids], request.num_tokens)

    def free(self, seq):
        return self._release_last(self.requests.pop(seq).block_ids)

    def retain(self, blocks):
        held = [*blocks]
        if 0 in map(self.ref, held):
            raise ValueError("storeBlocks")
        for block in held:
            self.all_blocks[block].in_cache += 1

    def release(self, blocks):
        held, gone = [*blocks], []
        for done, block in enumerate(held):
            if not self.all_blocks[block].in_cache:
                for undone in held[:done]:
                    self.all_blocks[undone].in_cache += 1
                raise ValueError("releaseBlocks")
            self.all_blocks[block].in_cache -= 1
        for block in dict.fromkeys(held):
            if not self.ref(block):
                self.free_queue[block] = None
                gone.append(block)
        return gone
