"""Has the import system call exec.

L1: invalid
says: code that is not in its text
"""

import importlib._bootstrap as loading

from right import Right

loading._call_with_frames_removed(exec, "x =" + " 1", {})


class BlockManager(Right):
    pass
