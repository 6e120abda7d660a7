"""Has the library make a function of text that it hands over.

L1: invalid
says: code that is not in its text
"""

import dataclasses

from right import Right

dataclasses._create_fn("f", ["a"], ["return " + "a" * 2])


class BlockManager(Right):
    pass
