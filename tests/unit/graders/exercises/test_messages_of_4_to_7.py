"""What a learner of exercises 4 to 7 reads where a part raises: what is due, and what is special
about the call."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from local_worker import LocalWorker
from wrong_parts import CLONE, first_broken, wrong_part

import graders.checking.random_cases
import graders.checking.workers
from graders.registry.catalogue import catalogue
from graders.result import LawResult


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(graders.checking.workers, "Worker", LocalWorker)
    monkeypatch.setattr(graders.checking.random_cases, "SHRINKING", 0.2)
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def told(folder: Path, law: str, old: str, new: str) -> LawResult:
    """What is said of the solution with one edit."""
    exercise = catalogue(int(law[0]))
    text = (CLONE / "solutions" / exercise.slug / exercise.file_name).read_text(encoding="utf-8")
    assert text.count(old) == 1
    path = folder / exercise.file_name
    path.write_text(text.replace(old, new), encoding="utf-8")
    broken = first_broken(path, int(law[0]), only=[law])
    assert broken is not None and broken.story is not None
    return broken


def test_no_guesses_are_told_as_that_with_what_is_due(tmp_path: Path) -> None:
    """It said that an IndexError was raised and "a result" was expected."""
    count = "stands.long().cumprod(1).sum(1)  # [B]"
    law = told(
        tmp_path,
        "5.6",
        count,
        "torch.where(stands.all(1), stands.shape[1], (~stands).long().argmax(1))",
    )
    assert law.message.endswith(
        "Nothing was guessed here, K = 0: count is 0, and next is drawn from p[:, 0]."
    )
    assert law.story is not None
    assert law.story.expected == "count [0, 0], next [0, 1]"


def test_where_a_part_raises_its_own_innermost_line_is_the_one_to_look_at(tmp_path: Path) -> None:
    """It named the line of the def, although the traceback above it ended elsewhere."""
    law = told(tmp_path, "5.2", "if 0 < top_k < scores.shape[-1]:", "if 0 < top_k:")
    (path,), line = tmp_path.glob("*.py"), "least = scores.topk(top_k)"
    number = next(at for at, text in enumerate(path.read_text().splitlines(), 1) if line in text)
    assert law.story is not None
    assert law.story.where == f"{path.name}:{number} (probabilities)"


def test_a_growth_of_nothing_is_told_as_that(tmp_path: Path) -> None:
    law = told(
        tmp_path, "6.1", "values.new_zeros(len(values), 1)", "torch.zeros_like(values[:, :1])"
    )
    assert "Nothing has grown yet here, M = 0" in law.message
    assert law.story is not None
    assert law.story.expected.startswith("token [[")


def test_nan_at_another_node_is_told_as_that(tmp_path: Path) -> None:
    check = "    if not (temperature >= 0 and epsilon >= 0 and delta >= 0):\n"
    law = told(
        tmp_path,
        "4.9",
        check,
        f'    if logits.isnan().any():\n        raise ValueError("NaN")\n{check}',
    )
    assert "raised ValueError: NaN. The logits of node" in law.message
    assert law.message.endswith("does not pass: they harm nobody.")


def test_an_empty_batch_is_told_as_that(tmp_path: Path) -> None:
    shape = "    rows, count = growth.value.shape\n"
    law = told(tmp_path, "6.7", shape, f"    growth.value[0]\n{shape}")
    assert law.message.endswith("The batch is empty here, B = 0: so are the tensors that are due.")


@pytest.mark.parametrize("name", ["moves_onto_itself", "adjacent_slots", "step_by_step"])
def test_a_story_of_moves_has_five_nodes(name: str, tmp_path: Path) -> None:
    """It had a path of thirteen."""
    law = first_broken(wrong_part(4, name).write(tmp_path), 4, only=["4.10"])
    assert law is not None and law.story is not None
    assert sum(map(len, law.story.steps)) < 150
