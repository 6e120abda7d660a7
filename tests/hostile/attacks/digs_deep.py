"""Leaves fifteen hundred folders in each other, the innermost closed to everybody.

L1: pass or crash
"""

import os

from right import Right

for _ in range(1500):
    os.mkdir("d")
    os.chdir("d")
try:
    os.chmod(".", 0)
except PermissionError:
    print("rights stay as they are")


class BlockManager(Right):
    pass
