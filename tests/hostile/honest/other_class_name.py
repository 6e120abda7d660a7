"""Gives the class a name of its own.

L1: fail
says: block_manager.py defines no class BlockManager (it defines MyManager).
fast
"""


class MyManager:
    pass
