"""Calls sys.exit(0) when it is imported.

L1: crash
says: called sys.exit() when it was imported
fast
"""

import sys

from right import Right


class BlockManager(Right):
    pass


sys.exit(0)
