"""Puts a finder of its own before all others, and has every module that is asked for be one of its own.

L1: pass or invalid
fast
"""

import sys
import types

from right import Right


class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        return None

    @staticmethod
    def find_module(name, path=None):
        return types.ModuleType(name)


sys.meta_path.insert(0, Finder)
sys.path_hooks.insert(0, lambda path: Finder)
sys.path.insert(0, ".")
with open("guest.py", "w") as file:
    file.write("raise SystemExit\n")


class BlockManager(Right):
    pass
