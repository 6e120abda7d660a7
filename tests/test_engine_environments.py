"""Environments of engines: what is said of each without a network, and what an installation runs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from graders.engines import environments
from graders.engines.catalogue import CPU, CUDA, KINDS, EngineKind, Recipe
from graders.engines.environments import State, standing
from graders.engines.installing import NotInstalled, install

TOY = EngineKind("toy", "a toy", "toy.py", ("toy",), {CPU: Recipe(("toy==1.0",), bare=("bare",), remove=("junk",))})


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(environments.VARIABLE, str(tmp_path / "engines"))
    return tmp_path / "engines" / "toy"


def pretend(place: Path, *packages: str, stamp: str | None = "1.0") -> None:
    """An environment as an installation would leave it."""
    (place / "bin").mkdir(parents=True)
    (place / "bin" / "python").touch()
    for package in packages:
        (place / "lib" / "python3.11" / "site-packages" / f"{package}.dist-info").mkdir(parents=True)
    if stamp is not None:
        environments.write_stamp(place, version=stamp)


def test_nothing_installed_says_what_to_type() -> None:
    found = standing(TOY, CPU)
    assert (found.state, found.advice) == (State.ABSENT, "course engines install toy")


@pytest.mark.parametrize("home", ["~", "/proc/1/root/home"], ids=["none", "closed"])
def test_without_a_home_of_ones_own_nothing_is_installed(home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(environments.VARIABLE)
    monkeypatch.setattr(os.path, "expanduser", lambda path: home + str(path)[1:])
    assert standing(TOY, CPU).state is State.ABSENT


def test_no_build_for_this_machine_says_why() -> None:
    assert standing(TOY, CUDA).state is State.IMPOSSIBLE
    assert standing(TOY, CUDA).advice == "there is no cuda build of a toy to install"
    assert standing(KINDS["tensorrt-llm"], CPU).advice == "TensorRT-LLM needs an NVIDIA GPU"


def test_a_missing_tool_is_named() -> None:
    plan = Recipe(("x",), tools={"nvcc": "it builds kernels", "c++": "it builds"})
    assert (
        environments.lacking(plan, lambda tool: None if tool == "nvcc" else tool)
        == "not found: nvcc (it builds kernels)"
    )
    assert environments.lacking(plan, lambda tool: tool) == ""


def test_a_finished_installation_is_ready(place: Path) -> None:
    pretend(place, "toy-1.0", "numpy-2.4.0")
    found = standing(TOY, CPU)
    assert found.ready
    assert found.version == "1.0"


def test_an_installation_without_its_stamp_was_broken_off(place: Path) -> None:
    pretend(place, "toy-1.0", stamp=None)
    found = standing(TOY, CPU)
    assert (found.state, found.advice) == (State.UNFINISHED, "course engines install toy --fresh")


def test_two_versions_of_a_package_are_found(place: Path) -> None:
    pretend(place, "toy-1.0", "nu_mpy-2.4.0", "Nu.mpy-2.3.0")
    found = standing(TOY, CPU)
    assert found.state is State.MIXED
    assert found.advice.startswith("nu_mpy 2.3.0 and 2.4.0")


@pytest.mark.parametrize("packages", [("toy-1.1",), ()])
def test_another_version_than_was_installed_is_found(place: Path, packages: tuple[str, ...]) -> None:
    pretend(place, *packages)
    assert standing(TOY, CPU).state is State.CHANGED


def test_a_stamp_that_is_no_json_counts_as_none(place: Path) -> None:
    pretend(place, "toy-1.0")
    (place / environments.STAMP).write_text("[]")
    assert standing(TOY, CPU).state is State.UNFINISHED


def test_our_own_engines_are_always_ready() -> None:
    assert standing(KINDS["reference"], CPU).ready
    assert standing(KINDS["naive"], CUDA).ready


def test_every_engine_has_its_adapter() -> None:
    assert all(kind.path.is_file() for kind in KINDS.values())


def test_an_installation_makes_installs_removes_and_stamps(place: Path) -> None:
    ran: list[list[str]] = []

    def run(command: Sequence[str], variables: dict[str, str], log: Path) -> int:
        ran.append(list(command))
        if "venv" in command:
            (place / "bin").mkdir(exist_ok=True)
            (place / "bin" / "python").touch()
            (place / "lib" / "python3.11" / "site-packages" / "toy-1.0.dist-info").mkdir(parents=True)
        return 0

    said: list[str] = []
    assert install(TOY, CPU, say=said.append, run=run) == "1.0"
    assert [command[-1] for command in ran] == [str(place), "toy==1.0", "bare", "junk"]
    assert "--no-deps" in ran[2]
    assert "uninstall" in ran[3]
    assert said[0] == "making the environment"
    assert standing(TOY, CPU).ready


def test_a_failed_step_is_told_with_pips_last_error(place: Path) -> None:
    def run(command: Sequence[str], variables: dict[str, str], log: Path) -> int:
        log.write_text("Collecting toy\nERROR: No matching distribution found for toy==1.0\nWARNING: pip is old\n")
        return int("pip" in command)

    with pytest.raises(NotInstalled) as caught:
        install(TOY, CPU, say=lambda line: None, run=run)
    assert "installing toy==1.0 failed: ERROR: No matching distribution found for toy==1.0" in str(caught.value)
    assert standing(TOY, CPU).state is State.ABSENT


def test_what_cannot_be_installed_is_refused_before_anything_is_touched(place: Path) -> None:
    with pytest.raises(NotInstalled, match="there is no cuda build"):
        install(TOY, CUDA, say=lambda line: None)
    with pytest.raises(NotInstalled, match="part of the course"):
        install(KINDS["reference"], CPU, say=lambda line: None)
    assert not place.exists()
