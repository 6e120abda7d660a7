"""Has timeit compile its text.

L1: invalid
says: code that is not in its text
"""

import timeit

from right import Right

timeit.timeit("x =" + " 1", number=1)


class BlockManager(Right):
    pass
