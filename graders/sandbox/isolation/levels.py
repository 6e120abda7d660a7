"""The levels of isolation, what each is made of, and how they compare.

L1  a process, session and empty folder of its own, a clean environment, resource limits, the whole
tree ended and seen
    dead, its memory, tasks and files counted ten times a second.
L2  L1 and Landlock: no file outside of its folder but the interpreter's library and the engine, no
TCP, and, from ABI 6
    on, no abstract socket and no signal to others.
L3  L1 in own user, pid, network, mount, ipc and host-name namespaces with a root folder that holds
only what L2 lets
    see: the grader's processes, files and network are not forbidden but absent. Landlock is added
    where the kernel has it; a kernel without it still reaches L3, since the own root hides the same
    files.
L4  L3 under another uid than the grader's (when the grader is root), or in bubblewrap (when it is
installed).

A level is reported only when every one of its locks is on. Two more locks are put on at every level
where the machine has them: a filter on system calls (seccomp, on x86-64 and arm64) that closes what
Landlock leaves open (UDP, new processes, limits and priorities of others, rights and times of
files), and, for a root grader, another uid where the files that the worker needs are open to
others, as on autograders that run as root in a container. `Process.locks` names all that are on.
"""

from __future__ import annotations

LEVELS = ("L1", "L2", "L3", "L4")
HIGHEST = "highest"
FOR_MARKS = "L2"  # at less a submission can read the answers, and its neighbours
# by the names that `spawn(without=...)` knows
LOCKS = ("namespaces", "landlock", "seccomp", "uid", "bubblewrap")


def below(level: str, required: str) -> bool:
    """Whether `level` is less than what is required. ValueError for a name that is no level."""
    for name in (level, required):
        if name not in LEVELS:
            raise ValueError(f"no isolation level {name!r}; there are {', '.join(LEVELS)}")
    return LEVELS.index(level) < LEVELS.index(required)
