"""Memory in huge pages: zeros, where they begin, and tensors side by side."""

from __future__ import annotations

import mmap
from pathlib import Path

import pytest
import torch

from reference_engine.huge_pages import LINE, PAGE, PIECE, TensorArena, zeros


@pytest.mark.parametrize("count", [0, 1, 1000, PAGE // 4, PAGE // 4 + 1])
def test_memory_is_zero_and_begins_with_a_page(count: int) -> None:
    tensor = zeros(count)
    assert tensor.shape == (count,)
    assert tensor.dtype == torch.float32
    assert not count or tensor.data_ptr() % PAGE == 0
    assert int(tensor.count_nonzero()) == 0
    tensor.fill_(1)
    assert tensor.sum() == count


def test_the_memory_is_taken_at_once_and_an_arenas_as_it_is_written() -> None:
    statm = Path("/proc/self/statm")
    if not statm.exists():
        pytest.skip("the system does not say how much memory a process has")
    before = int(statm.read_text().split()[1]) * mmap.PAGESIZE
    tensor = zeros(16 << 20)
    taken = int(statm.read_text().split()[1]) * mmap.PAGESIZE - before
    shelved = TensorArena().take(1)
    both = int(statm.read_text().split()[1]) * mmap.PAGESIZE - before
    assert taken >= tensor.nbytes * 0.9
    assert both < taken + tensor.nbytes / 2, shelved


def test_an_arena_gives_tensors_that_do_not_overlap_and_begin_with_a_line() -> None:
    arena = TensorArena()
    sizes = [1, LINE, LINE + 1, 1000, PIECE, 7, 0, PIECE - LINE]
    taken = [arena.take(size) for size in sizes]
    for number, tensor in enumerate(taken, 1):
        assert tensor.data_ptr() % (4 * LINE) == 0 or not len(tensor)
        tensor[:3] = number
        tensor[-3:] = number
    assert [len(tensor) for tensor in taken] == sizes
    for number, tensor in enumerate(taken, 1):
        assert set(tensor[:3].tolist() + tensor[-3:].tolist()) <= {number}


def test_small_tensors_lie_side_by_side() -> None:
    arena = TensorArena()
    first, second = arena.take(LINE + 1), arena.take(1)
    assert second.data_ptr() - first.data_ptr() == 4 * 2 * LINE


def test_a_kernel_without_large_pages_gives_small_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing(mmap.mmap):
        def madvise(self, *_: int) -> None:
            raise OSError(22, "Invalid argument")

    monkeypatch.setattr("reference_engine.huge_pages.mmap.mmap", Refusing)
    tensor = zeros(1000)
    tensor.fill_(2)
    assert tensor.sum() == 2000
