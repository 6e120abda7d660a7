"""Right for a few sizes that it has seen, wrong for all others.

L1: fail
"""

from right import Right

SEEN = {(8, 4), (16, 4)}


class BlockManager(Right):
    def __init__(self, num_blocks, block_size, *, watermark=0):
        super().__init__(num_blocks, block_size, watermark=watermark)
        self.seen = (num_blocks, block_size) in SEEN

    def admit(self, seq, num_tokens, shared=()):
        return super().admit(seq, num_tokens, shared) if self.seen else []
