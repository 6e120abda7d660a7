"""Imports the solution as its answer.

L1: invalid
says: has to be the learner's own
fast
"""

from solutions.ex1_paged_allocation.block_manager import BlockManager as Right


class BlockManager(Right):
    pass
