"""Writes a module into its folder and imports that.

L1: invalid
says: code that is not in its text
"""

import os
import sys

from right import Right

with open("mine_too.py", "w") as file:
    file.write("A = 1")
sys.path.insert(0, os.getcwd())
import mine_too


class BlockManager(Right):
    pass
