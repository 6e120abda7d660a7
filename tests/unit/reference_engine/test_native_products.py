"""Products and attention compiled for processors of several kinds, whatever this one is, narrow and
wide."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path

import pytest

from reference_engine.native import library

SUPPORT = Path(__file__).parents[2] / "support"
KINDS = {"as it is": ("-march=native",), "AVX2": ("-mavx2", "-mfma"), "plain": ()}
"""Flags of the compiler; those of another machine's processor are tried where this one has its instructions."""


def flags() -> set[str]:
    """What the processor can do."""
    return set(library._processor().partition(":")[2].split())


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("check", ["products", "attention"])
def test_what_is_computed_is_right_and_a_rows_is_its_own(
    check: str, kind: str, tmp_path: Path
) -> None:
    if not (compiler := library._compiler()):
        pytest.skip("this machine has no C++ compiler")
    if kind == "AVX2" and not {"avx2", "fma"} <= flags():
        pytest.skip(f"{platform.machine()} has no AVX2")
    made = tmp_path / "check"
    told = ("-O1", "-std=c++17", "-pthread", "-ffp-contract=fast", "-fno-math-errno", *KINDS[kind])
    source = SUPPORT / f"{check}_check.cpp"
    subprocess.run(
        [*compiler, *told, f"-I{library.HERE}", "-o", made, source], check=True, timeout=600
    )
    done = subprocess.run([made], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count(" in vectors of ") >= 2
