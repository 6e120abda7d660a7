"""The compiled library: found, or built with the machine's C++ compiler in a few seconds, once."""

from __future__ import annotations

import ctypes
import enum
import functools
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from ctypes import POINTER, c_double, c_float, c_int64, c_void_p
from pathlib import Path

SWITCH = "INFERENCE_KITCHEN_NATIVE"
"""Environment variable. 0: run without compiled code. A path: load that library and nothing else."""
HEADERS = (
    "simd.h",
    "scratch.h",
    "gemm.h",
    "attention.h",
    "limits.h",
    "span.h",
    "growing.h",
    "thread_pool.h",
)
SOURCES = (*HEADERS, "forward.cpp")
FLAGS = (
    "-O3",
    "-std=c++17",
    "-fPIC",
    "-shared",
    "-pthread",
    "-fno-math-errno",
    "-ffp-contract=fast",
)
HERE = Path(__file__).parent
BUILT = HERE / "built"
CACHE = Path("~/.cache/inference-kitchen/native")
PATIENCE = 120
"""Seconds that the compiler is given."""
FORGOTTEN = 30 * 24 * 3600
"""Seconds after which a library that another source or processor asked for is removed, when a new one is built."""


class Format(enum.IntEnum):
    """`Format` of gemm.h: how the numbers of a weight are stored."""

    FP32 = 0
    BF16 = 1
    INT8 = 2
    BYTES = 3


class NativePanels(ctypes.Structure):
    """`Panels` of gemm.h."""

    _fields_ = [("numbers", c_void_p), ("format", c_int64)]


class NativeLayer(ctypes.Structure):
    """`Layer` of forward.cpp."""

    _fields_ = [
        *((name, NativePanels) for name in ("qkv", "out", "gate_up", "down")),
        *((name, c_void_p) for name in ("input_norm", "inner_norm", "query_norm", "key_norm")),
    ]


class Net(ctypes.Structure):
    """`Net` of forward.cpp."""

    _fields_ = [
        *(
            (name, c_int64)
            for name in (
                "layers",
                "width",
                "heads",
                "kv_heads",
                "depth",
                "inner",
                "vocab",
                "positions",
            )
        ),
        *((name, c_float) for name in ("eps", "scale")),
        ("embedding", c_void_p),
        ("embedded", c_int64),
        ("head", NativePanels),
        *((name, c_void_p) for name in ("norm", "cosines", "sines")),
        ("layer", POINTER(NativeLayer)),
        ("arithmetic", c_int64),
    ]


class NativeStep(ctypes.Structure):
    """`Step` of forward.cpp."""

    _fields_ = [
        *((name, c_int64) for name in ("spans", "rows", "wanted")),
        *((name, c_void_p) for name in ("span", "tokens", "depths", "mask")),
        ("nodes", c_int64),
        ("tables", c_void_p),
        ("table_width", c_int64),
        ("pool", c_void_p),
        *((name, c_int64) for name in ("kept", "blocks", "block_size")),
        *((name, c_void_p) for name in ("hidden", "logits", "likeliest")),
    ]


class NativeHeadsStruct(ctypes.Structure):
    """`Heads` of forward.cpp."""

    _fields_ = [
        *((name, c_int64) for name in ("count", "width", "vocab")),
        ("blocks", NativePanels),
        ("projections", POINTER(NativePanels)),
    ]


class NativeFusion(ctypes.Structure):
    """`Fusion` of forward.cpp."""

    _fields_ = [
        ("fc", NativePanels),
        *((name, c_void_p) for name in ("token_norm", "feature_norm", "features")),
    ]


class NativeGrowing(ctypes.Structure):
    """`Growing` of growing.h."""

    _fields_ = [
        *((name, c_int64) for name in ("trees", "nodes", "most")),
        *((name, c_void_p) for name in ("slots", "depths", "mask", "origin", "spans", "starts")),
        *((name, c_void_p) for name in ("token", "node", "value")),
        *((name, c_int64) for name in ("read", "found")),
    ]


class NativeKeptTrees(ctypes.Structure):
    """`KeptTrees` of growing.h."""

    _fields_ = [(name, c_void_p) for name in ("token", "parent", "depth", "mask")]


@functools.cache
def library() -> ctypes.CDLL | None:
    """The compiled functions; None where they are switched off or cannot be had."""
    path = chosen()
    return _load(path) if path else None


def chosen() -> Path | None:
    """Which library this process and the workers that it starts are to load: what SWITCH says, else
    `location`."""
    switch = os.environ.get(SWITCH, "")
    if switch:
        return None if switch == "0" else Path(switch)
    return location()


def location() -> Path | None:
    """Where the compiled library of this machine lies, compiled now if it never was; None: it
    cannot be had."""
    return None if isinstance(found := _location(), str) else found


def reason() -> str:
    """Why `library` gives None, in a sentence; empty where it does not."""
    switch = os.environ.get(SWITCH, "")
    if switch == "0":
        return f"{SWITCH} switches it off."
    if switch:
        return f"{switch}, which {SWITCH} names, cannot be loaded." if library() is None else ""
    return found if isinstance(found := _location(), str) else ""


@functools.cache
def _location() -> Path | str:
    name = f"{_key()}.so"
    for folder in _folders():
        if os.path.exists(folder / name):  # False where a folder may not be looked into
            return folder / name
    compiler = _compiler()
    return (
        _build(compiler, name)
        if compiler
        else "This machine has no C++ compiler (c++, g++ or clang++)."
    )


def _compiler() -> tuple[str, ...]:
    """The words that begin its command; none without a compiler. CXX may name a wrapper with
    arguments."""
    commands = [shlex.split(os.environ.get("CXX", "")), ["c++"], ["g++"], ["clang++"]]
    return next(
        (tuple(command) for command in commands if command and shutil.which(command[0])), ()
    )


def _folders() -> Iterator[Path]:
    """Where libraries are looked for and put: beside the sources, which isolated workers see too;
    else in the cache."""
    yield BUILT
    try:
        cache = CACHE.expanduser()
    except RuntimeError:  # a user without a home
        return
    yield cache


def _key() -> str:
    """Names sources and processor: a library for one may not run on the other."""
    content = hashlib.sha256(
        repr((FLAGS, platform.machine(), platform.system(), _processor())).encode()
    )
    for source in SOURCES:
        content.update((HERE / source).read_bytes())
    return content.hexdigest()[:20]


def _processor() -> str:
    """What instructions the processor has, in whatever words the system has for it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return platform.processor()
    return next(
        (line for line in lines if line.lower().startswith(("flags", "features"))),
        platform.processor(),
    )


def _build(compiler: Sequence[str], name: str) -> Path | str:
    """Compile into the first folder that can be written and whose libraries may be loaded."""
    failed = "No folder for compiled code can be written."
    for folder in _folders():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".building-", dir=folder) as place:
                made = Path(place) / name
                wrong = _compile(compiler, made)
                if wrong:
                    return wrong
                if _load(made) is not None:
                    return _put(made, folder)
                failed = f"What {compiler[0]} compiled cannot be loaded."
        except OSError:
            continue
    return failed


def _put(made: Path, folder: Path) -> Path:
    """Into its folder, for workers of any user to read; what nobody has built for long goes."""
    made.chmod(0o755)
    folder.chmod(0o755)
    placed = made.replace(folder / made.name)
    for other in folder.glob("*.so"):
        if other.stat().st_mtime < placed.stat().st_mtime - FORGOTTEN:
            other.unlink(missing_ok=True)
    return placed


def _compile(compiler: Sequence[str], target: Path) -> str:
    """Make the library; what went wrong, empty when nothing did."""
    said = ""
    for machine in (("-march=native",), ("-mcpu=native",), ()):
        command = [*compiler, *FLAGS, *machine, "-o", str(target), str(HERE / "forward.cpp")]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=PATIENCE, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"{compiler[0]} failed: {error}."
        if done.returncode == 0:
            return ""
        said = said or done.stderr.strip()
    return f"{compiler[0]} failed: {said[:300]}"


def _load(path: Path) -> ctypes.CDLL | None:
    try:
        loaded = ctypes.CDLL(str(path))
        loaded.packed_bytes.restype = loaded.step_bytes.restype = loaded.multiplies_bf16.restype = (
            c_int64
        )
        loaded.multiplies_int8.restype = c_int64
        loaded.compute_limit.restype = loaded.read_limit.restype = c_int64
        loaded.draft.restype = loaded.draft_on.restype = None
        loaded.grow.restype = c_int64
    except (OSError, AttributeError):
        return None
    if loaded.step_bytes() != ctypes.sizeof(NativeStep):  # made from other sources
        return None
    loaded.packed_bytes.argtypes = [c_int64, c_int64, c_int64]
    loaded.pack.argtypes = [c_void_p, c_int64, c_int64, c_int64, c_int64, c_void_p]
    loaded.forward.argtypes = [POINTER(Net), POINTER(NativeStep), c_int64]
    loaded.guess.argtypes = [
        POINTER(NativeHeadsStruct),
        c_void_p,
        c_int64,
        c_int64,
        c_void_p,
        c_int64,
    ]
    loaded.draft.argtypes = [
        *(POINTER(Net), POINTER(NativeFusion), POINTER(NativeStep)),
        *(c_void_p, c_void_p, c_int64, c_void_p, c_void_p, c_int64),
    ]
    loaded.draft_on.argtypes = [
        *(POINTER(Net), POINTER(NativeFusion), POINTER(NativeStep), POINTER(NativeGrowing)),
        *(c_void_p, c_int64, c_int64, c_void_p, c_void_p, c_int64),
    ]
    loaded.grow.argtypes = [
        *(
            POINTER(Net),
            POINTER(NativeFusion),
            POINTER(NativeStep),
            c_void_p,
            POINTER(NativeGrowing),
        ),
        *(
            c_void_p,
            c_int64,
            c_int64,
            c_int64,
            c_double,
            POINTER(NativeKeptTrees),
            POINTER(c_double),
            c_int64,
        ),
    ]
    loaded.move.argtypes = [c_void_p, *[c_int64] * 6, c_void_p, c_void_p, c_int64]
    loaded.compute_limit.argtypes = [c_int64, c_int64]
    loaded.read_limit.argtypes = [c_void_p, c_int64, c_int64, c_int64]
    for function in (loaded.pack, loaded.forward, loaded.draft, loaded.move, loaded.guess):
        function.restype = None
    return loaded
