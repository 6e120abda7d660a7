"""What the kernels become without a GPU here: compiled for one, refused with a reason, or replaced
by plain torch."""

from __future__ import annotations

import os

os.environ.setdefault("TRITON_INTERPRET", "1")

import json
import subprocess
import sys
from pathlib import Path

import pytest

from reference_engine.kernels import runtime

NEEDS_TRITON = pytest.mark.skipif(bool(runtime.MISSING), reason=runtime.MISSING)
BLOCKED = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "triton":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocked())
"""


def python(code: str, **environment: str) -> str:
    """What a fresh interpreter prints for `code`."""
    settings = {
        name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"
    } | environment
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=settings
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.slow
@NEEDS_TRITON
def test_every_kernel_compiles_for_hopper_without_spilling(tmp_path: Path) -> None:
    code = """
import dataclasses, json
from reference_engine.kernels.compile_report import compile_all
print(json.dumps([dataclasses.asdict(note) for note in compile_all(90)]))
"""
    notes = json.loads(python(code, TRITON_CACHE_DIR=str(tmp_path), TRITON_DEFAULT_FP_FUSION="1"))
    assert {note["kernel"] for note in notes} == {
        "embed",
        "patch",
        "add_rms_norm",
        "silu_mul",
        "rope_store",
        "decode_attention",
        "prefill_attention",
        "combine",
        "best_of_part",
        "best_of_parts",
    }
    assert [
        note["kernel"] for note in notes if note["stack"] or note["instructions"]["local_loads"]
    ] == []
    for note in notes:
        if note["kernel"].endswith("attention"):
            assert note["instructions"]["tensor_core"] and note["instructions"]["async_copies"], (
                note
            )


def test_without_triton_the_package_imports_and_says_so() -> None:
    code = f"""{BLOCKED}
import torch
from reference_engine import kernels
chosen = kernels.ops("cpu")
print(chosen.name, "|", chosen.why)
print(chosen.silu_mul(torch.ones(1, 4)).shape)
try:
    kernels.KERNELS["silu_mul"](torch.ones(1, 4))
except kernels.KernelsUnavailable as reason:
    print(reason)
"""
    chosen, shape, refusal = python(code).splitlines()
    assert chosen.startswith("torch | triton is not installed")
    assert shape == "torch.Size([1, 2])"
    assert "pip install triton" in refusal


@NEEDS_TRITON
def test_a_triton_too_old_is_named_with_what_is_needed() -> None:
    code = """
import triton
triton.__version__ = "2.1.0"
from reference_engine import kernels
print(kernels.ops("cpu").why)
"""
    assert python(code).startswith("triton 2.1.0 is too old, 3.")


@NEEDS_TRITON
def test_a_kernel_launched_on_the_cpu_uninterpreted_says_what_to_set() -> None:
    code = """
import torch
from reference_engine import kernels
try:
    kernels.KERNELS["silu_mul"](torch.ones(1, 4))
except kernels.KernelsUnavailable as reason:
    print(reason)
"""
    assert "TRITON_INTERPRET=1" in python(code)


@NEEDS_TRITON
def test_an_old_gpu_is_named_with_what_is_needed() -> None:
    code = """
from unittest import mock
import torch
from reference_engine import kernels
with mock.patch.multiple(torch.cuda, is_available=lambda: True, get_device_capability=lambda d: (7, 0),
                         get_device_name=lambda d: "Tesla V100"):
    print(kernels.ops("cuda:0").why)
"""
    assert python(code) == "Tesla V100 has compute capability 7.0; kernels need 8.0 or newer"
