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


def test_a_network_that_is_not_there_is_not_called_a_missing_package(place: Path) -> None:
    def run(command: Sequence[str], variables: dict[str, str], log: Path) -> int:
        broken = "WARNING: Retrying after connection broken by 'NewConnectionError(Failed to establish a new connection"
        log.write_text(f"{broken}\nERROR: No matching distribution found for toy==1.0\n")
        return int("pip" in command)

    with pytest.raises(NotInstalled, match="the package index cannot be reached; is there a network"):
        install(TOY, CPU, say=lambda line: None, run=run)


def pip(place: Path, command: Sequence[str]) -> None:
    """What a run of `command` leaves in an environment."""
    if "venv" in command:
        assert not Path(command[-1]).is_symlink(), "venv refuses one"
        (place / "bin").mkdir(parents=True)
        (place / "bin" / "python").touch()
    else:
        (place / "lib" / "python3.11" / "site-packages" / "toy-1.0.dist-info").mkdir(parents=True, exist_ok=True)


@pytest.mark.parametrize("ill", [NotInstalled, KeyboardInterrupt, OSError])
@pytest.mark.parametrize("linked", [False, True])
def test_the_old_environment_comes_back_when_the_new_one_does_not(
    place: Path, ill: type[BaseException], linked: bool, tmp_path: Path
) -> None:
    if linked:
        place.parent.mkdir()
        (tmp_path / "elsewhere").mkdir()
        place.symlink_to(tmp_path / "elsewhere")
    pretend(place, "toy-1.0")

    def run(command: Sequence[str], variables: dict[str, str], log: Path) -> int:
        assert not standing(TOY, CPU).ready, "the old one is not touched while a new one is made"
        pip(place, command)
        if "pip" not in command:
            return 0
        if ill is NotInstalled:
            return 1
        raise ill(28, "No space left on device")

    with pytest.raises(NotInstalled if ill is OSError else ill) as caught:
        install(TOY, CPU, say=lambda line: None, run=run)
    assert standing(TOY, CPU).ready
    assert place.is_symlink() == linked
    assert ill is not OSError or "No space left on device" in str(caught.value)


def test_a_new_environment_replaces_the_old_one_through_a_link_too(place: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    place.parent.mkdir()
    place.symlink_to(tmp_path / "elsewhere")
    pretend(place, "toy-0.9", stamp="0.9")

    def run(command: Sequence[str], variables: dict[str, str], log: Path) -> int:
        pip(place, command)
        return 0

    assert install(TOY, CPU, say=lambda line: None, run=run) == "1.0"
    assert standing(TOY, CPU).version == "1.0"
    assert place.is_symlink() and [path.name for path in tmp_path.iterdir()].count("elsewhere.before") == 0


@pytest.mark.parametrize(("finished", "version"), [(False, "1.0"), (True, "2.0")])
def test_an_installation_that_was_killed_loses_no_finished_environment(
    place: Path, finished: bool, version: str
) -> None:
    pretend(place, "toy-1.0")
    place.rename(place.with_name("toy.before"))
    pretend(place, "toy-2.0", stamp="2.0" if finished else None)
    with pytest.raises(NotInstalled):
        install(TOY, CPU, say=lambda line: None, run=lambda command, variables, log: 1)
    assert (standing(TOY, CPU).ready, standing(TOY, CPU).version) == (True, version)


@pytest.mark.parametrize("what", ["root", "place"])
def test_a_file_where_a_folder_belongs_is_named(place: Path, what: str) -> None:
    obstacle = place.parent if what == "root" else place
    obstacle.parent.mkdir(exist_ok=True)
    obstacle.write_text("not a folder")
    with pytest.raises(NotInstalled) as caught:
        install(TOY, CPU, say=lambda line: None, run=lambda command, variables, log: 0)
    assert f"{obstacle} is a file, not a folder" in str(caught.value)
    assert obstacle.read_text() == "not a folder"


def test_a_folder_that_cannot_be_made_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(environments.VARIABLE, "/proc/nowhere")
    with pytest.raises(NotInstalled, match="nothing can be installed in /proc/nowhere/toy: "):
        install(TOY, CPU, say=lambda line: None)


def test_what_cannot_be_installed_is_refused_before_anything_is_touched(place: Path) -> None:
    with pytest.raises(NotInstalled, match="there is no cuda build"):
        install(TOY, CUDA, say=lambda line: None)
    with pytest.raises(NotInstalled, match="part of the course"):
        install(KINDS["reference"], CPU, say=lambda line: None)
    assert not place.exists()
