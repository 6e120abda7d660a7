"""The same by the code of a function, which leaves every name as it was.

L1: invalid
says: which is not its own
"""

import sys

from right import Right

sys.modules["guest.worker"].GuestParts.do_again.__code__ = (lambda shop, request: {}).__code__


class BlockManager(Right):
    pass
