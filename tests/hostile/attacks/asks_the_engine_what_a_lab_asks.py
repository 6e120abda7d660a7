"""Has the engine's roofline, and its search for trees, answer what the learner is asked to work out.

L1: open, pass
L2: blocked, pass
law: lab1 as the engine counts
"""

import importlib

from right import operations, tried

honest, looked = operations, []


def escape():
    importlib.import_module("reference_engine.roofline").token_work


def search():
    importlib.import_module("reference_engine.medusa.tree_search").TreeChoice


def operations(*args, **keywords):
    if not looked:
        looked.append(True)
        tried(escape)
        tried(search)
    return honest(*args, **keywords)
