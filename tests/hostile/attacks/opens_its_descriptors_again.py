"""Opens /proc/self/fd/* for writing, hoping for a way around the wire.

L1: blocked, pass
"""

import os
import stat

from right import Right, tried


def open_the_wire_again():
    for name in os.listdir("/proc/self/fd"):
        if stat.S_ISSOCK(os.stat(f"/proc/self/fd/{name}").st_mode):
            os.open(f"/proc/self/fd/{name}", os.O_WRONLY)


tried(open_the_wire_again)


class BlockManager(Right):
    pass
