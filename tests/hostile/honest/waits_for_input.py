"""Asks the person for a number.

L1: fail
says: EOF when reading a line in line 150 (does the part ask for input? Nobody is there to answer).
fast
"""

from right import Right

size = input("block size? ")


class BlockManager(Right):
    pass
