"""Reaches for the interpreter's own functions through ctypes.

L1: invalid
says: code that is not in its text
"""

import ctypes

from right import Right

ctypes.pythonapi.PyMarshal_ReadObjectFromString


class BlockManager(Right):
    pass
