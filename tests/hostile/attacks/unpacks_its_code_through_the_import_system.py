"""Hands bytes to the part of the import system that makes code of files.

L1: invalid
says: code that is not in its text
"""

import importlib._bootstrap_external as loading
import marshal
import os

from right import Right

data = marshal.dumps((lambda: 1).__code__)
loading._compile_bytecode(data, "heapq", os.__file__, os.__file__)


class BlockManager(Right):
    pass
