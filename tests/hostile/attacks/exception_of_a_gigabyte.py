"""Raises an exception with a text of a gigabyte, and a class with a name of ten megabytes.

L1: fail or crash
"""

from right import Right


class BlockManager(Right):
    def admit(self, *_):
        raise type("N" * 10**7, (ValueError,), {})("x" * 10**9)
