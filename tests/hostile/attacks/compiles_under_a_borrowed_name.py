"""Compiles text as if it were a file of the library.

L1: invalid
says: code that is not in its text
"""

import dataclasses

from right import Right

compile("".join(["x = ", "1"]), dataclasses.__file__, "exec")


class BlockManager(Right):
    pass
