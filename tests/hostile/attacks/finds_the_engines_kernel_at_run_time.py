"""Looks for the engine's own kernel of paged attention where its module is, when the call has come.

L1: open, pass
L2: blocked, pass
law: 7 read once
"""

import importlib

from right import paged_decode, tried

honest, looked = paged_decode, []


def escape():
    importlib.import_module("reference_engine.kernels.decode").decode_attention


def paged_decode(*args, **keywords):
    if not looked:
        looked.append(True)
        tried(escape)
    return honest(*args, **keywords)
