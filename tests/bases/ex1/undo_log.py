"""Right: every call writes down how to take it back; free blocks on a heap, those never used above a mark.

Lists and retains are counted apart. Whether a request could be admitted is tried out and undone.
"""

from __future__ import annotations

import heapq
from array import array
from collections import Counter

from reference_engine.slots import Copy, OutOfBlocks


class _Table:
    __slots__ = ("blocks", "length")

    def __init__(self, blocks, length):
        self.blocks, self.length = blocks, length


class BlockManager:
    def __init__(self, num_blocks, block_size, *, watermark=0):
        if num_blocks < 2 or block_size < 1:
            raise ValueError("pool")
        self._n, self._bs, self._wm = num_blocks, block_size, watermark
        self._fresh = 1  # blocks >= this were never used
        self._heap = []
        self._listed = Counter()  # by tables
        self._kept = Counter()  # by retains
        self._seqs = {}

    # journal ----------------------------------------------------------------
    def _take(self, journal):
        if self._heap:
            block = heapq.heappop(self._heap)
        elif self._fresh < self._n:
            block = self._fresh
            self._fresh += 1
        else:
            raise OutOfBlocks
        self._listed[block] = 1
        journal.append(lambda: self._unlist(block))
        return block

    def _unlist(self, block):
        self._listed[block] -= 1
        if not self._listed[block]:
            del self._listed[block]
            if block not in self._kept:
                heapq.heappush(self._heap, block)
                return [block]
        return []

    @staticmethod
    def _undo(journal):
        while journal:
            journal.pop()()

    # questions ----------------------------------------------------------------
    @property
    def num_free(self):
        return self._n - self._fresh + len(self._heap)

    def length(self, seq):
        return self._seqs[seq].length

    def table(self, seq):
        return self._seqs[seq].blocks

    def ref(self, block):
        return self._listed.get(block, 0) + self._kept.get(block, 0)

    def _writes(self, s, num_tokens):
        """index of the block to be replaced or None"""
        if num_tokens > s.length and s.length % self._bs:
            index = s.length // self._bs
            if self.ref(s.blocks[index]) > 1:
                return index
        return None

    def blocks_needed(self, seq, num_tokens):
        s = self._seqs[seq]
        if num_tokens < s.length:
            raise ValueError
        return (num_tokens + self._bs - 1) // self._bs - len(s.blocks) + (self._writes(s, num_tokens) is not None)

    def can_admit(self, num_tokens, shared=()):
        marker = object()
        try:
            self.admit(marker, num_tokens, shared)
        except (ValueError, OutOfBlocks):
            return False
        self.free(marker)
        return True

    # changes ----------------------------------------------------------------
    def admit(self, seq, num_tokens, shared=()):
        if seq in self._seqs or num_tokens < 1:
            raise ValueError
        journal, blocks, new, seen = [], array("q"), [], set()
        try:
            for block in shared:
                if block in seen or not self.ref(block):
                    raise ValueError("shared")
                seen.add(block)
                self._listed[block] += 1
                journal.append(lambda block=block: self._unlist(block))
                blocks.append(block)
            if len(blocks) * self._bs > num_tokens + self._bs - 1:
                raise ValueError("too many")
            while len(blocks) * self._bs < num_tokens:
                new.append(self._take(journal))
                blocks.append(new[-1])
            if self.num_free < self._wm:
                raise OutOfBlocks
        except Exception:
            self._undo(journal)
            raise
        self._seqs[seq] = _Table(blocks, num_tokens)
        return new

    def extend(self, seq, num_tokens):
        s = self._seqs[seq]
        if num_tokens < s.length:
            raise ValueError
        journal, new, copies = [], [], []
        before = len(s.blocks)
        try:
            index = self._writes(s, num_tokens)
            if index is not None:
                old, fresh = s.blocks[index], self._take(journal)
                s.blocks[index] = fresh
                self._listed[old] -= 1
                if not self._listed[old]:
                    del self._listed[old]

                def back():
                    s.blocks[index] = old
                    self._listed[old] += 1

                journal.append(back)
                new.append(fresh)
                copies.append(Copy(old, fresh))
            while len(s.blocks) * self._bs < num_tokens:
                block = self._take(journal)
                s.blocks.append(block)
                new.append(block)
        except OutOfBlocks:
            del s.blocks[before:]
            self._undo(journal)
            raise
        s.length = num_tokens
        return new, copies

    def truncate(self, seq, num_tokens):
        s = self._seqs[seq]
        if not 0 <= num_tokens <= s.length:
            raise ValueError
        fallen = []
        while (len(s.blocks) - 1) * self._bs >= num_tokens and s.blocks:
            fallen += self._unlist(s.blocks.pop())
        s.length = num_tokens
        return fallen

    def fork(self, parent, child):
        p = self._seqs[parent]
        if child in self._seqs:
            raise ValueError
        self._listed.update(p.blocks)
        self._seqs[child] = _Table(p.blocks[:], p.length)

    def free(self, seq):
        fallen = self.truncate(seq, 0)
        del self._seqs[seq]
        return fallen

    def retain(self, blocks):
        done = Counter()
        try:
            for block in blocks:
                if not self.ref(block):
                    raise ValueError
                self._kept[block] += 1
                done[block] += 1
        except BaseException:
            self._kept -= done
            raise

    def release(self, blocks):
        asked = Counter(blocks)
        if any(self._kept.get(block, 0) < count for block, count in asked.items()):
            raise ValueError
        fallen = []
        for block in reversed(list(asked)):
            self._kept[block] -= asked[block]
            if not self._kept[block]:
                del self._kept[block]
                if block not in self._listed:
                    heapq.heappush(self._heap, block)
                    fallen.append(block)
        return fallen
