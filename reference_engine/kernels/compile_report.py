"""What Triton's compiler makes of each kernel for a GPU that need not be here: registers, spills,
instructions.

    python -m reference_engine.kernels.compile_report [capability] [--json]        # 90 unless told: H100, H200

Each launcher is called on small CPU tensors with its kernel replaced by a recorder, which compiles
the kernel for the target with the arguments it was given. Triton brings ptxas, cuobjdump and
nvdisasm with it; nothing is launched. A kernel that spills (`local_loads` > 0) or loads KV in less
than 16 bytes a thread is one to look at.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from reference_engine.kernels import (
    KERNELS,
    Paging,
    activation,
    combine,
    decode,
    embedding,
    norm,
    prefill,
    rope,
    runtime,
    sampling,
    scatter_update,
)

INSTRUCTIONS = {
    "tensor_core": r"\bHG?MMA",
    "async_copies": r"\bLDGSTS",
    "wide_loads": r"\bLDG\.E\S*\.128",
    "loads": r"\bLDG\.",
    "local_loads": r"\bLDL",
}
POINTERS = {
    torch.float32: "*fp32",
    torch.bfloat16: "*bf16",
    torch.int32: "*i32",
    torch.int64: "*i64",
    torch.uint8: "*u8",
}
HOMES: dict[ModuleType, tuple[str, ...]] = {
    norm: ("_add_rms_norm",),
    activation: ("_silu_mul",),
    rope: ("_rope_store",),
    decode: ("_decode_attention",),
    prefill: ("_prefill_attention",),
    combine: ("_combine",),
    sampling: ("_best_of_part", "_best_of_parts"),
    embedding: ("_embed",),
    scatter_update: ("_patch",),
}


@dataclass(frozen=True, slots=True)
class CompiledKernel:
    """One compiled kernel: registers a thread, stack bytes a thread, shared bytes a program,
    instruction counts."""

    kernel: str
    dtype: str
    registers: int
    stack: int
    shared: int
    instructions: dict[str, int]


@dataclass(frozen=True, slots=True)
class _Recorder:
    """Takes a kernel's place: a launch compiles it for `capability` and notes what came out."""

    kernel: Any
    capability: int
    notes: list[CompiledKernel]

    def __getitem__(self, grid: object) -> Any:
        return self._compile

    def _compile(
        self, *args: Any, num_warps: int = 4, num_stages: int = 3, **constants: Any
    ) -> None:
        import triton
        from triton.backends.compiler import GPUTarget
        from triton.compiler import ASTSource

        values = dict(zip(self.kernel.arg_names, args, strict=False)) | constants
        signature, fixed, hints = _specialise(self.kernel.arg_names, values, set(constants))
        source = ASTSource(fn=self.kernel, signature=signature, constexprs=fixed, attrs=hints)
        options = {"num_warps": num_warps, "num_stages": num_stages}
        built = triton.compile(
            source, target=GPUTarget("cuda", self.capability, 32), options=options
        )
        dtypes = [value.dtype for value in values.values() if isinstance(value, Tensor)]
        dtype = str(next((dtype for dtype in dtypes if dtype.is_floating_point), dtypes[0]))
        self.notes.append(_read(self.kernel.__name__, dtype.removeprefix("torch."), built))


def compile_all(
    capability: int = 90, dtypes: tuple[torch.dtype, ...] = (torch.bfloat16,), width: int = 64
) -> list[CompiledKernel]:
    """Compile every kernel for `capability` at the heads of a 1B Llama (32 over 8) of `width`.

    Raises KernelsUnavailable without triton, or where TRITON_INTERPRET is set.
    """
    if runtime.MISSING or runtime.INTERPRETED:
        raise runtime.KernelsUnavailable(
            runtime.MISSING or "TRITON_INTERPRET is set: nothing would be compiled"
        )
    notes: list[CompiledKernel] = []
    with _recording(capability, notes):
        for dtype in dtypes:
            _launch_all(dtype, width)
    return notes


@contextmanager
def _recording(capability: int, notes: list[CompiledKernel]) -> Iterator[None]:
    """Every kernel replaced by its recorder, and every device good enough."""
    originals = [
        (home, name, getattr(home, name)) for home, names in HOMES.items() for name in names
    ]
    with mock.patch.object(runtime, "why_not", lambda device: ""):
        try:
            for home, name, kernel in originals:
                setattr(home, name, _Recorder(kernel, capability, notes))
            yield
        finally:
            for home, name, kernel in originals:
                setattr(home, name, kernel)


def _launch_all(dtype: torch.dtype, width: int) -> None:
    """Call each launcher once, attention in its split and unsplit forms."""
    rows, heads, kv_heads, block_size = 8, 32, 8, 16
    hidden = torch.zeros(rows, heads * width, dtype=dtype)
    qkv = torch.zeros(rows, (heads + 2 * kv_heads) * width, dtype=dtype)
    pool = torch.zeros(64, kv_heads, width, dtype=dtype)
    turn = torch.zeros(128, width // 2)
    integers = torch.zeros(rows, dtype=torch.int32)
    tables = torch.zeros(rows, 128, dtype=torch.int32)
    plain = Paging(torch.arange(rows + 1, dtype=torch.int32), integers, integers, tables)
    trees = Paging(
        plain.starts, integers, integers, tables, integers, torch.ones(16, 16, dtype=torch.bool)
    )
    q = qkv.view(rows, -1, width)[:, :heads]
    KERNELS["embed"](hidden, integers, integers.long())
    KERNELS["patch"](integers, integers, integers)
    KERNELS["add_rms_norm"](hidden, hidden.clone(), hidden[0], 1e-5)
    KERNELS["silu_mul"](hidden)
    KERNELS["greedy"](torch.zeros(rows, 128256, dtype=dtype))
    KERNELS["rope_store"](qkv, integers, integers, turn, turn, pool, pool)
    for paging, splits in ((plain, 1), (plain, 4)):
        KERNELS["decode_attention"](
            q, pool, pool, paging, block_size=block_size, scale=0.1, splits=splits
        )
    for paging, splits in ((plain, 1), (trees, 4)):
        many = q.repeat(32, 1, 1) if splits == 1 else q
        KERNELS["prefill_attention"](
            many, pool, pool, paging, block_size=block_size, scale=0.1, splits=splits
        )


def _specialise(
    names: list[str], values: dict[str, Any], constants: set[str]
) -> tuple[dict[str, str], dict[tuple[int], Any], dict[tuple[int], list[list[object]]]]:
    """(types, constants, alignment hints) as Triton's launcher would find them."""
    signature: dict[str, str] = {}
    fixed: dict[tuple[int], Any] = {}
    hints: dict[tuple[int], list[list[object]]] = {}
    aligned: list[list[object]] = [["tt.divisibility", 16]]
    for index, name in enumerate(names):
        value = values[name]
        if name in constants or (isinstance(value, int) and value == 1):
            signature[name], fixed[(index,)] = "constexpr", value
        elif isinstance(value, Tensor):
            signature[name], hints[(index,)] = POINTERS[value.dtype], aligned
        elif isinstance(value, int):
            signature[name] = "i32"
            if value % 16 == 0:
                hints[(index,)] = aligned
        else:
            signature[name] = "fp32"
    return signature, fixed, hints


def _read(name: str, dtype: str, built: Any) -> CompiledKernel:
    """Resources and instruction counts of a compiled kernel."""
    import triton.backends.nvidia as nvidia

    tools = Path(nvidia.__file__).parent / "bin"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(built.asm["cubin"])
        file.flush()
        usage = _output([str(tools / "cuobjdump"), "-res-usage", file.name])
        assembly = _output([str(tools / "nvdisasm"), "-c", file.name])
    found = re.search(r"REG:(\d+) STACK:(\d+)", usage)
    registers, stack = (int(found[1]), int(found[2])) if found else (-1, -1)
    counts = {kind: len(re.findall(pattern, assembly)) for kind, pattern in INSTRUCTIONS.items()}
    return CompiledKernel(
        name.strip("_"), dtype, registers, stack, int(built.metadata.shared), counts
    )


def _output(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def main() -> int:
    """Print one line a kernel, or with --json a list; exit status 2 where nothing can be compiled."""
    arguments = [argument for argument in sys.argv[1:] if argument != "--json"]
    try:
        notes = compile_all(int(arguments[0]) if arguments else 90, (torch.bfloat16, torch.float32))
    except runtime.KernelsUnavailable as reason:
        print(reason, file=sys.stderr)
        return 2
    rows = [
        {key: value for key, value in asdict(note).items() if key != "instructions"}
        for note in notes
    ]
    rows = [row | note.instructions for row, note in zip(rows, notes, strict=True)]
    if "--json" in sys.argv:
        print(json.dumps(rows))
        return 0
    for row in rows:
        print(
            f"{row.pop('kernel'):18} {row.pop('dtype'):9} "
            + " ".join(f"{key} {row[key]:<5}" for key in row)
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
