"""Asks for SIGCONT, which wakes whoever is stopped, as soon as others use a folder.

L1: open, pass
L2: blocked, pass
"""

import fcntl
import os
import signal

from right import Right, tried


def escape():
    folder = os.open(os.path.dirname(os.__file__), os.O_RDONLY)
    fcntl.fcntl(folder, fcntl.F_SETSIG, signal.SIGRTMIN)
    fcntl.fcntl(folder, fcntl.F_NOTIFY, fcntl.DN_ACCESS | fcntl.DN_MULTISHOT)


signal.signal(signal.SIGRTMIN, lambda *_: None)
tried(escape)


class BlockManager(Right):
    pass
