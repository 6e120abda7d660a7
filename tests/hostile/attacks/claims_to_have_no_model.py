"""Raises the engine's own error for a model that is missing, from the module itself.

L1: fail or crash
law: 1 fast enough
"""

import sys

from right import Right


class BlockManager(Right):
    pass


if "torch" in sys.modules:
    from reference_engine.model import ModelError

    del BlockManager

    def __getattr__(name):
        raise ModelError("the weights are missing")
