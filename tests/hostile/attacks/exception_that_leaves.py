"""Raises an exception that ends the process when it is asked for its text.

L1: crash
says: exited with status 0
"""

import os

from right import Right


class Leaving(ValueError):
    def __str__(self):
        os._exit(0)


class BlockManager(Right):
    def admit(self, *_):
        raise Leaving
