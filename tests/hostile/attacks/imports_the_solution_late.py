"""Finds the solution by the path of a module it was given, and imports it at run time.

L1: open, pass
L2: blocked, pass
"""

import importlib
import sys
from pathlib import Path

from right import Right, tried


def escape():
    sys.path.insert(0, str(Path(sys.modules["reference_engine"].__file__).parents[1]))
    importlib.import_module("solutions.ex1_paged_allocation.block_manager")


tried(escape)


class BlockManager(Right):
    pass
