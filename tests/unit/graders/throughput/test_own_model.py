"""Bounds on a model of an instructor's own: a checkpoint folder is served by engines that see
nothing beside it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from course.targets import solution_file
from graders import grade
from graders.registry.catalogue import catalogue
from graders.result import LawResult, Outcome
from graders.sandbox.worker import Worker
from graders.throughput.bounds import VARIABLE
from reference_engine.llama.config import SHAPES
from reference_engine.llama.weights import random_weights, save

BOUNDS = """
[[measure]]
exercise = 1
workload = "nothing_shared"
scale = 0.05
model = "our-model"
against.reference = { floor = 0.05, bound = 0.1 }
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The checkpoint; a bounds file that names it counts."""
    config = SHAPES["tiny"]
    save(
        tmp_path / "our-model",
        config,
        random_weights(config, 3, device=torch.device("cpu"), dtype=torch.float32),
    )
    (tmp_path / "our-model" / "model.safetensors").chmod(0o644)
    (tmp_path / "bounds.toml").write_text(BOUNDS)
    monkeypatch.setenv(VARIABLE, str(tmp_path / "bounds.toml"))
    return tmp_path / "our-model"


def timed() -> LawResult:
    entry = catalogue(1)
    result = grade(1, solution_file(entry), only=[entry.laws[-1].number])
    assert not result.problem
    return result.laws[0]


def test_it_is_served_and_timed(folder: Path) -> None:
    law = timed()
    assert law.outcome is Outcome.PASS, law.message


def test_a_file_that_only_its_owner_may_read_is_named_where_the_worker_is_somebody_else(
    folder: Path,
) -> None:
    weights = folder / "model.safetensors"
    weights.chmod(0o600)
    law = timed()
    with Worker() as worker:
        level = worker.level
    if os.geteuid() == 0 and level == "L4":
        said = (
            f"Not timed: the engine runs as a user who may not read {weights}; `chmod o+r` lets it."
        )
        assert (law.outcome, law.message) == (Outcome.UNGRADED, said)
    else:
        assert law.outcome is Outcome.PASS, law.message


def test_what_is_wrong_with_it_is_said_and_costs_nobody_points(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    law = timed()
    assert law.outcome is Outcome.UNGRADED
    assert law.message.startswith(
        f"Not timed: the model cannot be used: {weights} is truncated or corrupt"
    )
