"""Leaves named pipes, links to everywhere and names that no encoding knows where it stands.

L1: pass
fast
"""

import contextlib
import os
import socket

from right import Right

for name in (
    b"\xff\xfe",
    b"\x1b[2J",
    b"x" * 255,
    b"new\nline",
    "\u202egnp.exe".encode(),
    b"-rf",
    b"$(id)",
):
    with open(name, "wb"):
        pass
with contextlib.suppress(PermissionError):  # refused where system calls are on a list
    os.mkfifo("pipe")
os.symlink("/", "root")
os.symlink("loop", "loop")
os.symlink("../" * 40 + "etc", "etc")
os.mkdir("closed")
os.close(os.open("closed", os.O_RDONLY))
held = socket.socketpair()


class BlockManager(Right):
    pass
