"""Is the stub, untouched.

L1: fail
says: block_manager.py is the untouched stub: write `__init__` (line 10) first.
fast
"""


class BlockManager:
    def __init__(self, num_blocks, block_size, *, watermark=0):
        raise NotImplementedError("__init__")

    def admit(self, seq, num_tokens, shared=()):
        """The new blocks only."""
        raise NotImplementedError("admit")
