"""A filter on system calls (seccomp, no privilege needed): what no part has a use for is denied with EPERM.

Denied: every new socket (a connected pair may be made), anything done to another process (signals, memory,
descriptors, limits, priorities), new processes and programs unless `spawning` (threads stay possible), namespaces and
mounts, memory and queues shared outside of the file system, leases on files, rights, owners, times and attributes of
files and files that only memory holds unless `spawning` (Landlock does not bind them), and the corners of the kernel
that attacks start from (bpf, io_uring, perf, userfaultfd, keys, modules). Known for x86-64 and arm64; `available` is
False elsewhere.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from . import system

ALLOW, DENY, UNKNOWN, KILL = 0x7FFF0000, 0x00050001, 0x00050026, 0x80000000  # run, EPERM, ENOSYS, end the process
LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
NUMBER, AUDIT, FIRST_ARGUMENT, SECOND_ARGUMENT = 0, 4, 16, 24  # offsets in struct seccomp_data
X32 = 0x40000000
CLONE_THREAD, CLONE_NEW = 0x00010000, 0x7E020000
CLONE3 = 435
MODE_FILTER = 2

DENIED = {  # name: (x86-64, arm64)
    "socket": (41, 198),
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
ABOUT_FILES = {  # what compilers do to their own files, and a part has no use for
    "chmod": (90, -1),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "chown": (92, -1),
    "fchown": (93, 55),
    "lchown": (94, -1),
    "fchownat": (260, 54),
    "utime": (132, -1),
    "utimes": (235, -1),
    "futimesat": (261, -1),
    "utimensat": (280, 88),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "fremovexattr": (199, 16),
    "setxattrat": (463, 463),
    "removexattrat": (466, 466),
    "file_setattr": (469, 469),
    "inotify_add_watch": (254, 27),
    "memfd_create": (319, 279),  # files that no folder shows
}
FCNTL, SET_LEASE = (72, 25), 1024  # the second argument: whoever holds a lease keeps others from writing to the file
PRCTL, SET_DUMPABLE = (157, 167), 4  # the first: nobody may look into a process that is not, the supervisor neither
SPAWNING = {"fork": (57, -1), "vfork": (58, -1), "execve": (59, 221), "execveat": (322, 281)}
CLONE = (56, 220)


@dataclass(frozen=True)
class Architecture:
    """column: where its numbers stand in the tables above. audit: the kernel's word for it."""

    column: int
    audit: int


ARCHITECTURES = {"x86_64": Architecture(0, 0xC000003E), "aarch64": Architecture(1, 0xC00000B7)}


def available() -> bool:
    if os.uname().machine not in ARCHITECTURES or struct.calcsize("P") != 8:
        return False
    try:
        system.prctl(system.PR_GET_SECCOMP)
    except OSError:
        return False
    return True


def restrict(*, spawning: bool) -> None:
    """Bind the calling process and all it will ever start. Needs PR_SET_NO_NEW_PRIVS; raises OSError if refused."""
    instructions = list(program(ARCHITECTURES[os.uname().machine], os.getpid(), spawning))
    code = b"".join(struct.pack("=HBBI", *instruction) for instruction in instructions)
    system.call("prctl", system.PR_SET_SECCOMP, MODE_FILTER, struct.pack("@HP", len(instructions), _address(code)))


Instruction = tuple[int, int, int, int]  # code, jump if true, jump if false, operand


def program(architecture: Architecture, own: int, spawning: bool) -> Iterator[Instruction]:
    """The filter; a jump counts the instructions to leave out. own: the pid that may signal itself."""
    yield from ((LOAD, 0, 0, AUDIT), (EQUAL, 1, 0, architecture.audit), (RETURN, 0, 0, KILL))
    yield (LOAD, 0, 0, NUMBER)
    yield from ((AT_LEAST, 0, 1, X32), (RETURN, 0, 0, DENY))
    for numbers in (*DENIED.values(), *(() if spawning else (SPAWNING | ABOUT_FILES).values())):
        if numbers[architecture.column] >= 0:
            yield from ((EQUAL, 0, 1, numbers[architecture.column]), (RETURN, 0, 0, DENY))
    yield from ((EQUAL, 0, 1, CLONE3), (RETURN, 0, 0, UNKNOWN))  # its flags cannot be seen: C libraries then use clone
    for numbers in TO_ITSELF_ONLY.values():
        yield from ((EQUAL, 0, 5, numbers[architecture.column]), (LOAD, 0, 0, FIRST_ARGUMENT))
        yield from ((EQUAL, 2, 0, own), (EQUAL, 1, 0, 0), (RETURN, 0, 0, DENY), (RETURN, 0, 0, ALLOW))
    yield from ((EQUAL, 0, 4, FCNTL[architecture.column]), (LOAD, 0, 0, SECOND_ARGUMENT))
    yield from ((EQUAL, 0, 1, SET_LEASE), (RETURN, 0, 0, DENY), (RETURN, 0, 0, ALLOW))
    yield from ((EQUAL, 0, 4, PRCTL[architecture.column]), (LOAD, 0, 0, FIRST_ARGUMENT))
    yield from ((EQUAL, 0, 1, SET_DUMPABLE), (RETURN, 0, 0, DENY), (RETURN, 0, 0, ALLOW))
    fine, bad = (DENY, ALLOW) if spawning else (ALLOW, DENY)
    yield from ((EQUAL, 0, 4, CLONE[architecture.column]), (LOAD, 0, 0, FIRST_ARGUMENT))
    yield from ((ANY_BIT, 0, 1, CLONE_NEW if spawning else CLONE_THREAD), (RETURN, 0, 0, fine), (RETURN, 0, 0, bad))
    yield (RETURN, 0, 0, ALLOW)


def _address(code: bytes) -> int:
    """Where the bytes lie; they must outlive the call."""
    import ctypes

    return ctypes.cast(ctypes.c_char_p(code), ctypes.c_void_p).value or 0
