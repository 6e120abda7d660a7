"""Closes the wire and puts a pipe of its own in its place.

L1: crash or timeout
"""

import os
import stat

from right import Right


class BlockManager(Right):
    def admit(self, *_):
        ends = os.pipe()
        for descriptor in range(3, 64):
            try:
                if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                    os.dup2(ends[1], descriptor)
            except OSError:
                continue
        return []
