"""A filter on system calls (seccomp, no privilege needed): what no part has a use for is denied.

A part may do what `ALLOWED` lists, which is what an interpreter with threads, files and memory of
its own needs, and a connected pair of streams may be made; all else is refused with EPERM, or, of
numbers that old kernels do not know, with ENOSYS, as those do. Where programs may be started
(`spawning`: compilers of GPU code, whose calls nobody can list) it is a list of what is `DENIED`
instead: every new socket, anything done to another process (signals, memory, descriptors, limits,
priorities), namespaces and mounts, memory and queues shared outside of the file system, leases on
files and notices about them, and the corners of the kernel that attacks start from (bpf, io_uring,
perf, userfaultfd, keys, modules). Known for x86-64 and arm64; `available` is False elsewhere.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from . import system

# run, EPERM, ENOSYS, end the process
ALLOW, DENY, UNKNOWN, KILL = 0x7FFF0000, 0x00050001, 0x00050026, 0x80000000
LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN, AND = 0x20, 0x15, 0x35, 0x45, 0x06, 0x54
# offsets in struct seccomp_data
NUMBER, AUDIT, FIRST_ARGUMENT, SECOND_ARGUMENT, THIRD_ARGUMENT = 0, 4, 16, 24, 32
X32 = 0x40000000
CLONE_THREAD, CLONE_NEW = 0x00010000, 0x7E020000
CLONE3 = 435
MODE_FILTER = 2

# from here on numbers are the same everywhere, and C libraries ask whether the kernel knows them
NEW = 424

# What a part may do, by number. Left out on purpose: connecting, binding and making sockets, sync
# and syncfs, fanotify and inotify, priorities, sessions, other processes, rights and owners of
# files, memory shared by key, the clock, timers that send a signal of one's choice, locks on files
# that everybody has, advice on the pages of files.
ALLOWED = {
    "x86_64": (
        *range(28),  # read to mincore
        *range(32, 41),  # dup, pause, timers, getpid, sendfile
        *(*range(44, 49), 51, 52, 54, 55),  # on sockets that are there
        *(60, 61, 63, *range(74, 90)),  # exit, wait4, files
        *(*range(95, 101), 102, 104, 107, 108, 110, 111),  # umask, who am I
        *(115, 118, 120, 121, 124),  # groups, sessions
        *(127, 128, 130, 131, 137, 138, 140, 143, 145, 146, 147),  # signals, statfs
        *(158, 160, 186, 187),  # arch_prctl, gettid, readahead
        *(*range(191, 197), 201, 202, 204, 213, 217, 218, 219),  # attributes to read, futex, epoll
        *(228, 229, 230, 231, 232, 233, 239, 247),  # clocks, exit_group, waitid
        *(257, 258, *range(262, 268), *range(269, 272)),  # files, select
        *range(273, 277),  # robust lists, splice
        *(*range(281, 288), *range(289, 294), 295, 296, 299, 307),  # epoll, events, pipes
        *(309, 315, 316, 318, 324, *range(326, 333), 334),  # getcpu, getrandom, statx, rseq
        *(436, 437, 439, 441, 449),  # close_range, openat2, faccessat2, epoll_pwait2, futex_waitv
    ),
    "aarch64": (
        *(*range(8, 14), 17, *range(19, 25), 29, *range(34, 39), *range(43, 51)),
        *(56, 57, 59, *range(61, 75), *range(76, 81), 82, 83, 85, 86, 87),
        *(93, 94, 95, 96, *range(98, 104), 113, 114, 115),
        *(120, 121, *range(123, 127), 128, *range(132, 138), 139, 141, 148),
        *(150, 153, 155, 156, 158),
        *(160, 163, 164, 165, 166, 168, 169, *range(172, 180)),
        *(*range(204, 217), 222, 226, 227, 232, 236, 243),
        *(260, 269, 275, 276, 278, 283, *range(285, 292), 293, 436, 437, 439, 441, 449),
    ),
}
DENIED = {  # name: (x86-64, arm64)
    "socket": (41, 198),
    "fanotify_init": (300, 262),
    "sync": (162, 81),
    "syncfs": (306, 267),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438),
    "pidfd_send_signal": (424, 424),
    "tkill": (200, 130),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "setpriority": (141, 140),
    "ioprio_set": (251, 30),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    "fadvise64": (221, 223),
    "timer_create": (222, 107),
    "process_madvise": (440, 440),
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "open_by_handle_at": (304, 265),
    "acct": (163, 89),
    "reboot": (169, 142),
    "shmget": (29, 194),
    "shmat": (30, 196),
    "msgget": (68, 186),
    "semget": (64, 190),
    "mq_open": (240, 180),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "memfd_secret": (447, 447),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
}
TO_ITSELF_ONLY = {  # the first argument is a process: itself (its number or 0), nobody else
    "kill": (62, 129),
    "tgkill": (234, 131),
    "prlimit64": (302, 261),
    "sched_setaffinity": (203, 122),
    "sched_setscheduler": (144, 119),
    "sched_setparam": (142, 118),
    "sched_setattr": (314, 274),
}
# the second argument: from a pair of datagram sockets one can send to any address
SOCKETPAIR, STREAM = (53, 199), 1
FCNTL = (72, 25)
# F_SETSIG, F_SETLEASE, F_NOTIFY: a lease keeps others from writing, a signal may wake
SIGNALLING = (10, 1024, 1026)
# locks, seen by all who have the file: a word from one worker to another
LOCKING = (5, 6, 7, 36, 37, 38)
# MADV_COLD, MADV_PAGEOUT: pages of files that others use as well
MADVISE, PUSHING_OUT = (28, 233), (20, 21)
# the first: nobody may look into a process that is not, the supervisor neither
PRCTL, SET_DUMPABLE = (157, 167), 4
CLONE = (56, 220)


@dataclass(frozen=True)
class Architecture:
    """name: as `uname` has it. column: of its numbers in the tables above. audit: the kernel's word
    for it."""

    name: str
    column: int
    audit: int


ARCHITECTURES = {
    one.name: one
    for one in (Architecture("x86_64", 0, 0xC000003E), Architecture("aarch64", 1, 0xC00000B7))
}


def available() -> bool:
    if os.uname().machine not in ARCHITECTURES or struct.calcsize("P") != 8:
        return False
    try:
        system.prctl(system.PR_GET_SECCOMP)
    except OSError:
        return False
    return True


def restrict(*, spawning: bool) -> None:
    """Bind the calling process and all it will ever start. Needs PR_SET_NO_NEW_PRIVS; raises
    OSError if refused."""
    instructions = list(program(ARCHITECTURES[os.uname().machine], os.getpid(), spawning))
    code = b"".join(struct.pack("=HBBI", *instruction) for instruction in instructions)
    system.call(
        "prctl",
        system.PR_SET_SECCOMP,
        MODE_FILTER,
        struct.pack("@HP", len(instructions), _address(code)),
    )


Instruction = tuple[int, int, int, int]  # code, jump if true, jump if false, operand


def program(architecture: Architecture, own: int, spawning: bool) -> Iterator[Instruction]:
    """The filter; a jump counts the instructions to leave out. own: the pid that may signal itself."""
    yield from ((LOAD, 0, 0, AUDIT), (EQUAL, 1, 0, architecture.audit), (RETURN, 0, 0, KILL))
    yield (LOAD, 0, 0, NUMBER)
    yield from ((AT_LEAST, 0, 1, X32), (RETURN, 0, 0, DENY))
    if spawning:
        listed, then = [numbers[architecture.column] for numbers in DENIED.values()], DENY
    else:
        listed, then = [*ALLOWED[architecture.name]], ALLOW
    for number in listed:
        yield from ((EQUAL, 0, 1, number), (RETURN, 0, 0, then))
    # its flags cannot be seen: C libraries then use clone
    yield from ((EQUAL, 0, 1, CLONE3), (RETURN, 0, 0, UNKNOWN))
    for numbers in TO_ITSELF_ONLY.values():
        yield from ((EQUAL, 0, 5, numbers[architecture.column]), (LOAD, 0, 0, FIRST_ARGUMENT))
        yield from (
            (EQUAL, 2, 0, own),
            (EQUAL, 1, 0, 0),
            (RETURN, 0, 0, DENY),
            (RETURN, 0, 0, ALLOW),
        )
    yield from (
        (EQUAL, 0, 5, SOCKETPAIR[architecture.column]),
        (LOAD, 0, 0, SECOND_ARGUMENT),
        (AND, 0, 0, 15),
    )
    yield from ((EQUAL, 0, 1, STREAM), (RETURN, 0, 0, ALLOW), (RETURN, 0, 0, DENY))
    yield from _all_but(
        FCNTL[architecture.column], SECOND_ARGUMENT, SIGNALLING + LOCKING * (not spawning)
    )
    yield from _all_but(MADVISE[architecture.column], THIRD_ARGUMENT, PUSHING_OUT)
    yield from _all_but(PRCTL[architecture.column], FIRST_ARGUMENT, (SET_DUMPABLE,))
    fine, bad = (DENY, ALLOW) if spawning else (ALLOW, DENY)
    yield from ((EQUAL, 0, 4, CLONE[architecture.column]), (LOAD, 0, 0, FIRST_ARGUMENT))
    yield from (
        (ANY_BIT, 0, 1, CLONE_NEW if spawning else CLONE_THREAD),
        (RETURN, 0, 0, fine),
        (RETURN, 0, 0, bad),
    )
    yield from () if spawning else ((AT_LEAST, 0, 1, NEW), (RETURN, 0, 0, UNKNOWN))
    yield (RETURN, 0, 0, ALLOW if spawning else DENY)


def _all_but(number: int, place: int, denied: Sequence[int]) -> Iterator[Instruction]:
    """A call that may be made, but with none of these as that argument."""
    yield from ((EQUAL, 0, 2 * len(denied) + 2, number), (LOAD, 0, 0, place))
    for argument in denied:
        yield from ((EQUAL, 0, 1, argument), (RETURN, 0, 0, DENY))
    yield (RETURN, 0, 0, ALLOW)


def _address(code: bytes) -> int:
    """Where the bytes lie; they must outlive the call."""
    import ctypes

    return ctypes.cast(ctypes.c_char_p(code), ctypes.c_void_p).value or 0
