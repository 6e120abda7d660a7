"""Imports a package that parts are written without.

L1: fail
says: No module named 'numpy'; a part is written with the standard library alone.
fast
"""

import numpy  # noqa: F401
from right import Right


class BlockManager(Right):
    pass
