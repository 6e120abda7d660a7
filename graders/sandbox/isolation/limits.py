"""What a worker may use."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """What a worker and everything it starts may use together; beyond that they are ended.

    packages: site-packages (torch) can be imported. gpu: the GPU's devices are let through, and
    programs may be started (Triton needs a compiler). memory: resident bytes; 0 for the usual 1
    GiB, 6 GiB with packages. tasks: processes and threads; 0 for the usual 128, with packages 4
    more for each core, since torch and the engine start threads for each. disk, files: bytes and
    number of files in its folder. cpu: seconds of CPU time of one process. readable: further files
    that it may read. contracts: of the engine it sees the contracts alone.
    """

    packages: bool = False
    gpu: bool = False
    memory: int = 0
    tasks: int = 0
    disk: int = 64 * MIB
    files: int = 2000
    cpu: int = 120
    readable: tuple[str, ...] = ()
    contracts: bool = False

    @property
    def resident(self) -> int:
        return self.memory or (6144 * MIB if self.packages or self.gpu else 1024 * MIB)

    @property
    def most_tasks(self) -> int:
        cores = (os.cpu_count() or 1) if self.packages or self.gpu else 0
        return self.tasks or 128 + 4 * cores

    @property
    def rlimits(self) -> Mapping[str, int]:
        """Of every single process. CUDA reserves more addresses than any limit, torch a multiple of
        what it uses."""
        addresses = (
            {}
            if self.gpu
            else {"RLIMIT_AS": (4 if self.packages else 1) * self.resident + 1024 * MIB}
        )
        return {
            **addresses,
            "RLIMIT_CPU": self.cpu,
            "RLIMIT_FSIZE": self.disk,
            "RLIMIT_NOFILE": 1024 if self.packages or self.gpu else 64,
            "RLIMIT_CORE": 0,
            "RLIMIT_MSGQUEUE": 0,
        }
