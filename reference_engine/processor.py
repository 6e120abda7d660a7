"""What this machine's processor says of itself, as far as the least time of a computation depends
on it. No torch."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
FASTEST_CLOCK = 6.5e9
"""Cycles a second: more than any processor that is sold. What a machine says of its own clock
leaves out its boost, or is not said at all to a guest of a hypervisor."""
OPERATIONS = (("avx512f", 64), ("fma", 32), ("avx", 16), ("sse2", 8))
"""fp32 operations that a core does in a cycle at most, by the widest instructions it has: two
units, two operations (multiply and add) in each of the numbers that a register holds."""
FEATURES = ("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_tile", "asimd", "sve")
"""Instructions that engines choose their kernels by."""
USUAL = "avx2"
"""The one of them that goes without saying."""
NARROW_AMD = 26
"""From this family on AMD's cores have two units for AVX-512; those before do it in two halves."""


@dataclass(frozen=True, slots=True)
class Processor:
    """cores: physical ones that this process may run on. threads: what the system calls processors.
    cache: bytes of the largest cache, 0: unknown. operations: fp32 operations a cycle and core at
    most, 0: unknown.
    """

    cores: int
    threads: int
    cache: int
    operations: int

    @property
    def theoretical_peak(self) -> float:
        """fp32 operations a second that nobody can exceed, whatever is measured; infinite where it
        is not known.

        Every logical processor counts as a core: too much, if anything.
        """
        return self.threads * self.operations * FASTEST_CLOCK if self.operations else float("inf")


def model_name() -> str:
    """What the processor calls itself; "" where it does not."""
    return _facts(_cpuinfo()).get("model name", "")


def features() -> tuple[str, ...]:
    """Which of `FEATURES` this machine's processor has, in their order."""
    facts = _facts(_cpuinfo())
    flags = (facts.get("flags") or facts.get("Features") or "").split()
    return tuple(feature for feature in FEATURES if feature in flags)


def processor() -> Processor:
    """This machine's."""
    text = _cpuinfo()
    allowed = (
        os.sched_getaffinity(0)
        if hasattr(os, "sched_getaffinity")
        else set(range(os.cpu_count() or 1))
    )
    return Processor(_cores(text, allowed), len(allowed), _cache(), operations_a_cycle(text))


def operations_a_cycle(cpuinfo: str) -> int:
    """`Processor.operations`, by the text of /proc/cpuinfo."""
    facts = _facts(cpuinfo)
    flags, family = facts.get("flags", "").split(), facts.get("cpu family", "0")
    found = next((count for flag, count in OPERATIONS if flag in flags), 0)
    early = (
        facts.get("vendor_id") == "AuthenticAMD" and family.isdecimal() and int(family) < NARROW_AMD
    )
    return min(found, 32) if early else found


def _cpuinfo() -> str:
    try:
        return CPUINFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _facts(text: str) -> dict[str, str]:
    """The last value of each key."""
    return {
        key.strip(): value.strip()
        for key, _, value in (line.partition(":") for line in text.splitlines())
    }


def _cores(cpuinfo: str, allowed: set[int]) -> int:
    """Two logical processors of one core share what computes."""
    places = set[tuple[str, str]]()
    for block in cpuinfo.split("\n\n"):
        facts = _facts(block)
        if (
            facts.get("processor", "").isdecimal()
            and int(facts["processor"]) in allowed
            and "core id" in facts
        ):
            places.add((facts.get("physical id", "0"), facts["core id"]))
    return len(places) or len(allowed)


def _cache() -> int:
    sizes = [0]
    with suppress(OSError):
        for path in CACHES.glob("index*/size"):
            size = re.fullmatch(
                r"(\d+)([KM]?)\s*", path.read_text(encoding="ascii", errors="replace")
            )
            if size:
                sizes.append(int(size[1]) * {"": 1, "K": 1 << 10, "M": 1 << 20}[size[2]])
    return max(sizes)
