"""Asks the kernel who it is outside of its namespaces: the same as the grader, or somebody else.

L1: open, pass
L4: blocked, pass
"""

import os

from right import Right, tried


def escape():
    with open("/proc/self/uid_map") as file:
        for line in file:
            inside, outside, count = map(int, line.split())
            if inside <= os.getuid() < inside + count and outside + os.getuid() - inside == int(
                "@UID@"
            ):
                return
    raise PermissionError("somebody else")


tried(escape)


class BlockManager(Right):
    pass
