"""Takes memory as fast as it can, in huge pages.

L1: crash
says: memory
"""

import mmap

from right import Right

PIECE = 64 << 20
held = []


class BlockManager(Right):
    def admit(self, seq, num_tokens, shared=()):
        while True:
            piece = mmap.mmap(-1, PIECE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            piece.madvise(mmap.MADV_HUGEPAGE)
            for place in range(0, PIECE, mmap.PAGESIZE):
                piece[place] = 1
            held.append(piece)
