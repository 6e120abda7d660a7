"""What the file system of a worker holds: an interpreter's library, the engine, the worker's own
side of the wire.

The specifications, laws, tests, solutions, the oracle and the kernels are not in it: a part of
another exercise that a worker needs comes over the wire as text. A lab, which is asked what the
engine counts, sees its contracts alone.
"""

from __future__ import annotations

import glob
import os
import sys
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import reference_engine
from graders.sandbox.isolation.limits import Limits
from reference_engine.native import library

ANSWERS = ("graders", "solutions", "exercises", "course", "tests", "vllm", "sglang")
OF_THE_ENGINE = ("oracle.py", "kernels")  # what a part is to be, or is judged by
CONTRACTS = ("__init__.py", "slots.py")
LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache")
PROCESSORS = "/sys/devices/system/cpu"
FOR_GPUS = (
    "/usr",
    "/bin",
    "/sbin",
    "/opt",
    "/sys",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/alternatives",
)
DEVICES = ("/dev/nvidia*", "/dev/kfd", "/dev/dri", "/dev/dxg")

# the folder that holds the packages of the course
ROOT = Path(reference_engine.__file__).parents[1]
HOME = Path(__file__).parents[1]  # the one that holds `guest`


@dataclass(frozen=True, slots=True)
class VisibleFiles:
    """shown: files and folders to read. hidden: what is left out below them. devices: device files
    to use.

    paths: where `import` looks beside the standard library.
    """

    shown: tuple[str, ...]
    hidden: tuple[str, ...]
    devices: tuple[str, ...]
    paths: tuple[str, ...]


def contents(limits: Limits) -> VisibleFiles:
    return _contents(limits.packages, limits.gpu, limits.readable, limits.contracts)


@cache
def _contents(
    packages: bool, gpu: bool, readable: tuple[str, ...], contracts: bool
) -> VisibleFiles:
    python = {sysconfig.get_path("stdlib"), f"{sys.base_prefix}/lib", f"{sys.base_exec_prefix}/lib"}
    sites = sorted({sysconfig.get_path(name) for name in ("purelib", "platlib")})
    paths = tuple(sites) if packages else ()
    shown = {
        *python,
        *LIBRARIES,
        PROCESSORS,
        *paths,
        *([str(compiled)] if packages and (compiled := library.chosen()) else ()),
        f"{ROOT}/reference_engine",
        f"{HOME}/guest",
        *(FOR_GPUS if gpu else ()),
        *readable,
    }
    places = {str(ROOT), *sites, *(path for path in sys.path if path)}
    ours = [*ANSWERS, *(f"reference_engine/{name}" for name in _answering(contracts))]
    hidden = _there(f"{place}/{name}" for place in sorted(places) for name in ours)
    devices = [path for pattern in DEVICES for path in sorted(glob.glob(pattern))] if gpu else []
    return VisibleFiles(_there(shown), (*hidden, *_compiled()), tuple(devices), paths)


def _answering(contracts: bool) -> Iterable[str]:
    """What of the engine a worker does not see; all but the contracts where a part is to work out
    what it does."""
    return (
        [name for name in os.listdir(f"{ROOT}/reference_engine") if name not in CONTRACTS]
        if contracts
        else OF_THE_ENGINE
    )


def _compiled() -> set[str]:
    """The oracle as bytecode: what lies there, and what a grader that imports it later will write."""
    place = f"{ROOT}/reference_engine/__pycache__"
    return {*glob.glob(f"{place}/oracle.*"), f"{place}/oracle.{sys.implementation.cache_tag}.pyc"}


def _there(paths: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(path for path in paths if Path(path).exists()))
