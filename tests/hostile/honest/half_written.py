"""Is the stub still, but for one method.

L1: fail
says: `admit` is not written yet.
fast
"""


class BlockManager:
    def __init__(self, num_blocks, block_size, *, watermark=0):
        self.num_blocks = num_blocks

    def admit(self, seq, num_tokens, shared=()):
        raise NotImplementedError("admit")
