"""Calls os._exit(0) when it is imported.

L1: crash
says: exited with status 0
"""

import os

from right import Right


class BlockManager(Right):
    pass


os._exit(0)
