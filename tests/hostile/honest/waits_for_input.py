"""Asks the person for a number.

L1: fail
says: block_manager.py could not be imported: EOFError: EOF when reading a line
fast
"""

from right import Right

size = input("block size? ")


class BlockManager(Right):
    pass
