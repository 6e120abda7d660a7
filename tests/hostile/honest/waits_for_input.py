"""Asks the person for a number.

L1: fail
says: EOF when reading a line in line @LINE@ (does the part ask for input? Nobody is there to answer).
fast
"""

from right import Right

size = input("block size? ")  # here


class BlockManager(Right):
    pass
