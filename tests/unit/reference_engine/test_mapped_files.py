"""Weights that were read from a mapped file take no memory until they are read again, and nothing
else is touched."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from reference_engine.mapped_files import MappedFiles
from reference_engine.model import write
from reference_engine.model_loader import load_model
from reference_engine.native.library import library, reason
from reference_engine.native.weights import NativeWeights
from reference_engine.quantized import quantized

SMAPS = Path("/proc/self/smaps")


def held(tensor: Tensor) -> int:
    """Bytes in memory of the mapping that a tensor lies in."""
    inside = False
    for line in SMAPS.read_text().splitlines():
        _, dash, _ = line.partition(" ")[0].partition("-")
        if dash:
            low, high = (int(each, 16) for each in line.split()[0].split("-"))
            inside = low <= tensor.data_ptr() < high
        elif inside and line.startswith("Rss:"):
            return int(line.split()[1]) << 10
    return 0


@pytest.mark.skipif(not SMAPS.is_file(), reason="this system does not say which memory is whose")
def test_a_files_memory_is_given_back_and_read_again_and_other_memory_is_left(
    tmp_path: Path,
) -> None:
    wanted = torch.arange(1 << 20, dtype=torch.float32)
    save_file({"weight": wanted}, tmp_path / "one.safetensors")
    with safe_open(tmp_path / "one.safetensors", framework="pt") as file:
        weight = file.get_tensor("weight")
    weight.sum()
    own, mapped, before = wanted.clone(), MappedFiles.now(), held(weight)
    mapped.let_go(own)
    assert torch.equal(own, wanted)
    mapped.let_go(weight)
    assert held(weight) < before / 4
    assert torch.equal(weight, wanted)


@pytest.mark.skipif(not SMAPS.is_file(), reason="this system does not say which memory is whose")
def test_a_look_at_whether_weights_are_rounded_leaves_none_of_them_in_memory(
    tmp_path: Path,
) -> None:
    write(quantized(load_model("waiter")), tmp_path)
    model = load_model(tmp_path)
    assert model.quantized
    largest = max(model.weights.values(), key=Tensor.numel)
    assert held(largest) < largest.numel() * largest.itemsize


@pytest.mark.skipif(not SMAPS.is_file(), reason="this system does not say which memory is whose")
@pytest.mark.skipif(library() is None, reason=reason())
def test_weights_that_were_packed_take_no_memory_where_they_were_read(tmp_path: Path) -> None:
    write(load_model("random:5m"), tmp_path)
    model = load_model(tmp_path)
    NativeWeights.of(model, library())
    embedding = model.weights["model.embed_tokens.weight"]
    whole = sum(weight.numel() * weight.itemsize for weight in model.weights.values())
    assert held(embedding) < whole / 4


def test_a_system_that_does_not_say_what_is_mapped_keeps_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reference_engine.mapped_files.MAPS", tmp_path / "nowhere")
    assert MappedFiles.now().places == ()
    MappedFiles.now().let_go(torch.zeros(10))
