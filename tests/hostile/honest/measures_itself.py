"""Profiles itself with the idiom of a line profiler.

L1: pass
fast
"""

import builtins
import cProfile

from right import Right

if not hasattr(builtins, "profile"):
    builtins.profile = lambda function: function


class BlockManager(Right):
    @builtins.profile
    def admit(self, seq, num_tokens, shared=()):
        with cProfile.Profile():
            return super().admit(seq, num_tokens, shared)
