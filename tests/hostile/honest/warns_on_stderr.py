"""Warns on stderr while it is right: full marks.

L1: pass
prints: use extend
fast
"""

import sys
import warnings

from right import Right

warnings.warn("use extend", DeprecationWarning, stacklevel=1)
print("use extend", file=sys.stderr)


class BlockManager(Right):
    pass
