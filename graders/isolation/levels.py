"""The levels of isolation, what each is made of, and how they compare.

L1  a process, session and empty folder of its own, a clean environment, resource limits, the whole tree ended and seen
    dead, its memory and tasks counted ten times a second.
L2  L1 and Landlock: no file outside of its folder but the interpreter's library and the engine, no TCP, no abstract
    socket, no signal to others. With it comes, where the machine is an x86-64 or arm64, a filter on system calls
    that also closes what Landlock leaves open: UDP, new processes, limits and priorities of others.
L3  L1 in own user, pid, network, mount, ipc and host-name namespaces with a root folder that holds only what L2 lets
    see: the grader's processes, files and network are not forbidden but absent. Landlock and the filter are added where
    the kernel has them; a kernel without Landlock still reaches L3, since the own root hides the same files (the
    locks put on are named in `Process.locks` and in the doctor's table).
L4  L3 under another uid than the grader's (when the grader is root), or in bubblewrap (when it is installed).

A level is reported only when every one of its locks is on. Beside it, a worker of a root grader gets another uid at L1
and L2 too where the files it needs are open to others (as on autograders that run as root in a container).
"""

from __future__ import annotations

LEVELS = ("L1", "L2", "L3", "L4")
HIGHEST = "highest"


def below(level: str, required: str) -> bool:
    """Whether `level` is less than what is required. ValueError for a name that is no level."""
    for name in (level, required):
        if name not in LEVELS:
            raise ValueError(f"no isolation level {name!r}; there are {', '.join(LEVELS)}")
    return LEVELS.index(level) < LEVELS.index(required)
