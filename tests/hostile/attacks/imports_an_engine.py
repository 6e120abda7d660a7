"""Imports vLLM as its answer.

L1: invalid
says: has to be the learner's own
"""

from vllm.core.block_manager import SelfAttnBlockSpaceManager as Right


class BlockManager(Right):
    pass
