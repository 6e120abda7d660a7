"""Opens files until none can be opened any more.

L1: blocked, pass
"""

import os

from right import Right, tried

held = []


def escape():
    for _ in range(5000):
        held.append(os.open("/dev/null", os.O_RDONLY))


tried(escape)
for descriptor in held:
    os.close(descriptor)


class BlockManager(Right):
    pass
