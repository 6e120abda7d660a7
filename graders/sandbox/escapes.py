"""What a hostile part would try, one method each. Sent to a worker as if it were a submission; see
`probe`.

A method returns nothing when it got through, and raises (any OSError will do) when it was stopped.
It is given what a hostile part would have to find out: pids, paths, ports. Nothing here does harm:
signals are number 0, files are read or appended to where `probe` has put them.
"""

from __future__ import annotations

import ctypes
import os
import resource
import socket
import time
from pathlib import Path


class Stopped(Exception):
    """It did not work, for a reason that raised nothing by itself."""


class BlockManager:
    """Takes the name that the worker's driver knows."""

    def __init__(self, num_blocks: int, block_size: int) -> None:
        del num_blocks, block_size

    def attempt(self, name: str, *target: object) -> list[str]:
        """["open", ""] when the escape `name` worked, ["blocked", reason] when it did not."""
        try:
            getattr(self, name)(*target)
        except (OSError, Stopped) as stopped:
            return ["blocked", getattr(stopped, "strerror", None) or str(stopped)]
        return ["open", ""]

    def memory(self, pid: int, address: int, length: int) -> None:
        with open(f"/proc/{pid}/mem", "rb", buffering=0) as file:
            file.seek(address)
            if len(file.read(length)) < length:
                raise Stopped("nothing to read")

    def environment(self, pid: int) -> None:
        if not Path(f"/proc/{pid}/environ").read_bytes():
            raise Stopped("nothing to read")

    def read(self, path: str) -> None:
        Path(path).read_bytes()

    def list(self, path: str) -> None:
        os.listdir(path)

    def write(self, path: str) -> None:
        with open(path, "ab") as file:
            file.write(b"escaped")

    def rights(self, path: str) -> None:
        os.chmod(path, 0o604)

    def shared_memory(self, key: int) -> None:
        """A segment of System V shared memory that the grader has made."""
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.shmget(key, ctypes.c_size_t(0), 0) < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    def tcp(self, port: int) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as caller:
            caller.settimeout(2)
            caller.connect(("127.0.0.1", port))

    def udp(self, port: int) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as caller:
            caller.connect(("127.0.0.1", port))
            caller.send(b"escaped")

    def unix(self, name: str) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
            caller.settimeout(2)
            caller.connect(name)

    def datagram_of_a_pair(self, name: str) -> None:
        """Nothing needs to be connected to send a datagram: one end of a pair will do."""
        ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        for end in ends:
            end.sendto(b"escaped", name)
            end.close()

    def kernel(self, x86: int, arm: int, *arguments: int) -> None:
        """A system call by its number."""
        libc = ctypes.CDLL(None, use_errno=True)
        number = {"x86_64": x86, "aarch64": arm}[os.uname().machine]
        if libc.syscall(number, *arguments) < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    def virtual_socket(self) -> None:
        socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM).close()

    def signal(self, pid: int) -> None:
        os.kill(pid, 0)

    def limit(self, pid: int) -> None:
        resource.prlimit(pid, resource.RLIMIT_CORE)

    def daemon(self, seconds: float) -> None:
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                time.sleep(seconds)
            os._exit(0)

    def descriptors(self) -> None:
        """The null device, the output twice, the wire: anything more is an escape."""
        found = []
        for descriptor in range(256):
            try:
                os.fstat(descriptor)
            except OSError:
                continue
            found.append(descriptor)
        if len(found) <= 4:
            raise Stopped(f"{len(found)} descriptors, none of the grader's")
