"""Environments of engines: what is said of each without a network, and what an installation runs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from graders.engines import environments, installing, lock_file
from graders.engines.catalogue import CPU, CUDA, KINDS, EngineKind, InstallRecipe
from graders.engines.environments import State, standing
from graders.engines.installing import NotInstalled, Run

TOY = EngineKind(
    "toy",
    "a toy",
    "toy.py",
    ("toy",),
    {CPU: InstallRecipe(("toy==1.0",), bare=("bare",), without={"junk": "it breaks it"})},
)
HASH = "0" * 64


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(environments.VARIABLE, str(tmp_path / "engines"))
    monkeypatch.setattr(lock_file, "FOLDER", tmp_path / "locks")
    return tmp_path / "engines" / "toy"


def install(
    kind: EngineKind, device: str, run: Run, *, say: list[str] | None = None, fails: str = ""
) -> str:
    """Install without a lock, as where there is none; the trial ends as `fails` says."""

    def prove(kind: EngineKind) -> str:
        environments.write_stamp(
            environments.folder(kind), trial=f"failed: {fails}" if fails else "worked"
        )
        return fails

    told = [] if say is None else say
    unlocked = not lock_file.path(kind, device).is_file()
    return installing.install(
        kind, device, say=told.append, prove=prove, run=run, unlocked=unlocked
    )


def locked(
    *lines: str, part: lock_file.Part = lock_file.Part.MAIN, pythons: str = lock_file.python_here()
) -> Path:
    """Write the toy's lock."""
    file = lock_file.path(TOY, CPU, part)
    file.parent.mkdir(exist_ok=True)
    pins = [f"{line} --hash=sha256:{HASH}" for line in lines]
    file.write_text("\n".join([f"# python: {pythons}", *pins]) + "\n")
    return file


def site(place: Path) -> Path:
    """Where the packages of an environment lie."""
    return place / "lib" / f"python{lock_file.python_here()}" / "site-packages"


def pretend(place: Path, *packages: str, stamp: str | None = "1.0", trial: str = "worked") -> None:
    """An environment as an installation would leave it."""
    (place / "bin").mkdir(parents=True)
    (place / "bin" / "python").touch()
    for package in packages:
        (site(place) / f"{package}.dist-info").mkdir(parents=True)
    if stamp is not None:
        environments.write_stamp(place, version=stamp, device=CPU, trial=trial)


def test_nothing_installed_says_what_to_type() -> None:
    found = standing(TOY, CPU)
    assert (found.state, found.advice) == (State.ABSENT, "course engines install toy")


@pytest.mark.parametrize("home", ["~", "/proc/1/root/home"], ids=["none", "closed"])
def test_without_a_home_of_ones_own_nothing_is_installed(
    home: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(environments.VARIABLE)
    monkeypatch.setattr(os.path, "expanduser", lambda path: home + str(path)[1:])
    assert standing(TOY, CPU).state is State.ABSENT


def test_no_build_for_this_machine_says_why() -> None:
    assert standing(TOY, CUDA).state is State.IMPOSSIBLE
    assert standing(TOY, CUDA).advice == "there is no cuda build of a toy to install"
    assert standing(KINDS["tensorrt-llm"], CPU).advice == "TensorRT-LLM needs an NVIDIA GPU"


def test_a_missing_tool_is_named() -> None:
    plan = InstallRecipe(("x",), tools={"nvcc": "it builds kernels", "c++": "it builds"})
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
def test_another_version_than_was_installed_is_found(
    place: Path, packages: tuple[str, ...]
) -> None:
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
            (site(place) / "toy-1.0.dist-info").mkdir(parents=True)
        return 0

    said: list[str] = []
    assert install(TOY, CPU, run, say=said) == "1.0"
    assert [command[-1] for command in ran] == [str(place), "toy==1.0", "bare", "junk"]
    assert "--no-deps" in ran[2]
    assert "uninstall" in ran[3]
    assert said[0] == "making the environment"
    assert standing(TOY, CPU).ready


def test_a_failed_step_is_told_with_pips_last_error(place: Path) -> None:
    def run(command: Sequence[str], variables: dict[str, str], log: Path) -> int:
        log.write_text(
            "Collecting toy\nERROR: No matching distribution found for toy==1.0\nWARNING: pip is old\n"
        )
        return int("pip" in command)

    with pytest.raises(NotInstalled) as caught:
        install(TOY, CPU, run)
    assert "installing toy==1.0 failed: ERROR: No matching distribution found for toy==1.0" in str(
        caught.value
    )
    assert standing(TOY, CPU).state is State.ABSENT


def test_a_network_that_is_not_there_is_not_called_a_missing_package(place: Path) -> None:
    def run(command: Sequence[str], variables: dict[str, str], log: Path) -> int:
        broken = "WARNING: Retrying after connection broken by 'NewConnectionError(Failed to establish a new connection"
        log.write_text(f"{broken}\nERROR: No matching distribution found for toy==1.0\n")
        return int("pip" in command)

    with pytest.raises(
        NotInstalled, match="the package index cannot be reached; is there a network"
    ):
        install(TOY, CPU, run)


def pip(place: Path, command: Sequence[str]) -> None:
    """What a run of `command` leaves in an environment."""
    if "venv" in command:
        assert not Path(command[-1]).is_symlink(), "venv refuses one"
        (place / "bin").mkdir(parents=True)
        (place / "bin" / "python").touch()
    else:
        (site(place) / "toy-1.0.dist-info").mkdir(parents=True, exist_ok=True)


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
        install(TOY, CPU, run)
    assert standing(TOY, CPU).ready
    assert place.is_symlink() == linked
    assert ill is not OSError or "No space left on device" in str(caught.value)


def test_a_new_environment_replaces_the_old_one_through_a_link_too(
    place: Path, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    place.parent.mkdir()
    place.symlink_to(tmp_path / "elsewhere")
    pretend(place, "toy-0.9", stamp="0.9")

    def run(command: Sequence[str], variables: dict[str, str], log: Path) -> int:
        pip(place, command)
        return 0

    assert install(TOY, CPU, run) == "1.0"
    assert standing(TOY, CPU).version == "1.0"
    assert (
        place.is_symlink()
        and [path.name for path in tmp_path.iterdir()].count("elsewhere.before") == 0
    )


@pytest.mark.parametrize(
    ("stamp", "trial", "version"),
    [(None, "", "1.0"), ("2.0", "", "1.0"), ("2.0", "failed: x", "1.0"), ("2.0", "worked", "2.0")],
)
def test_an_installation_that_was_killed_loses_no_finished_environment(
    place: Path, stamp: str | None, trial: str, version: str
) -> None:
    pretend(place, "toy-1.0")
    place.rename(place.with_name("toy.before"))
    pretend(place, "toy-2.0", stamp=stamp, trial=trial)
    with pytest.raises(NotInstalled):
        install(TOY, CPU, lambda command, variables, log: 1)
    assert (standing(TOY, CPU).ready, standing(TOY, CPU).version) == (True, version)


@pytest.mark.parametrize("what", ["root", "place"])
def test_a_file_where_a_folder_belongs_is_named(place: Path, what: str) -> None:
    obstacle = place.parent if what == "root" else place
    obstacle.parent.mkdir(exist_ok=True)
    obstacle.write_text("not a folder")
    with pytest.raises(NotInstalled) as caught:
        install(TOY, CPU, lambda command, variables, log: 0)
    assert f"{obstacle} is a file, not a folder" in str(caught.value)
    assert obstacle.read_text() == "not a folder"


def test_a_folder_that_cannot_be_made_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(environments.VARIABLE, "/proc/nowhere")
    with pytest.raises(NotInstalled, match="nothing can be installed in /proc/nowhere/toy: "):
        install(TOY, CPU, lambda command, variables, log: 0)


def test_what_cannot_be_installed_is_refused_before_anything_is_touched(place: Path) -> None:
    with pytest.raises(NotInstalled, match="there is no cuda build"):
        install(TOY, CUDA, lambda command, variables, log: 0)
    with pytest.raises(NotInstalled, match="part of the course"):
        install(KINDS["reference"], CPU, lambda command, variables, log: 0)
    assert not place.exists()


# ---------------------------------------------------------------- locks


def taking(place: Path, *packages: str, ran: list[list[str]] | None = None) -> Run:
    """A pip that leaves these packages behind."""

    def run(command: Sequence[str], variables: dict[str, str], log: Path) -> int:
        if ran is not None:
            ran.append(list(command))
        pip(place, command)
        for package in packages if "pip" in command else ():
            (site(place) / f"{package}.dist-info").mkdir(exist_ok=True)
        return 0

    return run


def test_an_installation_takes_its_lock_and_nothing_else(place: Path) -> None:
    file = locked("toy==1.0", "numpy==2.4.6")
    ran: list[list[str]] = []
    assert install(TOY, CPU, taking(place, "numpy-2.4.6", ran=ran)) == "1.0"
    assert len(ran) == 2, "nothing is added to the lock, nothing is taken away"
    assert {"--no-deps", "--require-hashes", "--only-binary"} <= set(ran[1])
    assert ran[1][-2:] == ["--requirement", str(file)]
    assert standing(TOY, CPU).ready and standing(TOY, CPU).locked
    assert environments.drift(TOY) is None


def test_what_has_no_wheel_is_built_with_locked_tools(place: Path) -> None:
    locked("cmake==4.0")
    locked("toy==1.0", part=lock_file.Part.SOURCE)
    ran: list[list[str]] = []
    assert install(TOY, CPU, taking(place, "cmake-4.0", ran=ran)) == "1.0"
    assert "--no-build-isolation" not in ran[1]
    assert "--no-build-isolation" in ran[2] and ran[2][ran[2].index("--no-binary") + 1] == "toy"


@pytest.mark.parametrize(("torch", "steps"), [("torch-2.13.0+cpu", 2), ("torch-2.13.0", 3)])
def test_cudas_libraries_come_with_a_cuda_build_of_torch_only(
    place: Path, torch: str, steps: int
) -> None:
    locked("toy==1.0", "torch==2.13.0")
    locked("nvidia-cublas==13.1", part=lock_file.Part.CUDA)
    ran: list[list[str]] = []
    assert install(TOY, CPU, taking(place, torch, ran=ran)) == "1.0"
    assert len(ran) == steps
    assert standing(TOY, CPU).ready


def test_a_cpu_build_is_asked_for_first_and_done_without(place: Path) -> None:
    locked("torch==2.13.0+cpu", part=lock_file.Part.CPU)
    locked("toy==1.0", "torch==2.13.0")
    asked: list[str] = []
    fill = taking(place, "torch-2.13.0")

    def run(command: Sequence[str], variables: dict[str, str], log: Path) -> int:
        asked.append(Path(command[-1]).name)
        return 1 if asked[-1].endswith(".cpu.txt") else fill(command, variables, log)

    assert install(TOY, CPU, run) == "1.0"
    assert asked[1:] == [
        lock_file.path(TOY, CPU, part).name for part in (lock_file.Part.CPU, lock_file.Part.MAIN)
    ]
    assert standing(TOY, CPU).ready


def test_without_a_lock_nothing_is_installed_unless_asked_for(place: Path) -> None:
    with pytest.raises(
        NotInstalled,
        match=f"there is no lock of toy for cpu on {lock_file.here()}; --unlocked takes",
    ):
        installing.install(
            TOY, CPU, say=lambda line: None, prove=lambda kind: "", run=taking(place)
        )
    locked("toy==1.0", pythons="2.7")
    with pytest.raises(NotInstalled, match=r"the lock of toy is for Python 2\.7, not for "):
        installing.install(
            TOY, CPU, say=lambda line: None, prove=lambda kind: "", run=taking(place)
        )
    locked("toy==1.0")
    with pytest.raises(
        NotInstalled, match="there is a lock; --unlocked is for platforms without one"
    ):
        installing.install(
            TOY, CPU, say=lambda line: None, prove=lambda kind: "", run=taking(place), unlocked=True
        )
    assert not place.exists()


@pytest.mark.parametrize(
    ("packages", "told"),
    [
        (("toy-1.0", "numpy-2.5.0"), "numpy is 2.5.0, and 2.4.6 in its lock"),
        (("toy-1.1", "numpy-2.4.6"), "toy is 1.1, and 1.0 in its lock"),
        (
            ("toy-1.0", "numpy-2.4.6", "torchvision-0.29.2"),
            "torchvision 0.29.2 is there, and its lock knows no torchvision",
        ),
        (("toy-1.0",), "numpy 2.4.6 of its lock is not there"),
    ],
)
def test_an_environment_that_differs_from_its_lock_does_not_count(
    place: Path, packages: tuple[str, ...], told: str
) -> None:
    locked("toy==1.0", "NumPy==2.4.6")
    pretend(place, *packages, "pip-24.0")
    found = standing(TOY, CPU)
    assert (found.state, found.ready) == (State.DRIFTED, False)
    assert found.advice == f"{told}; course engines install toy --fresh"
    assert environments.drift(TOY) == told


def test_who_built_a_version_does_not_matter_but_a_local_pin_does(place: Path) -> None:
    locked("toy==1.0")
    pretend(place, "toy-1.0+cpu", stamp="1.0+cpu")
    assert standing(TOY, CPU).ready
    locked("toy==1.0+cu130")
    assert environments.drift(TOY) == "toy is 1.0+cpu, and 1.0+cu130 in its lock"


def test_an_environment_of_another_python_is_not_its_locks(place: Path) -> None:
    locked("toy==1.0", pythons="2.7")
    pretend(place, "toy-1.0")
    assert standing(TOY, CPU).advice.startswith(
        f"it has Python {lock_file.python_here()}, and its lock is for 2.7; "
    )


def test_pip_that_left_something_else_than_the_lock_has_failed(place: Path) -> None:
    locked("toy==1.0", "numpy==2.4.6")
    with pytest.raises(
        NotInstalled, match=r"pip ended well, but numpy 2\.4\.6 of its lock is not there"
    ):
        install(TOY, CPU, taking(place))
    assert standing(TOY, CPU).state is State.UNFINISHED


def test_a_lock_that_cannot_be_read_is_one_clause(place: Path) -> None:
    file = locked("toy==1.0", "numpy>=2")
    with pytest.raises(
        NotInstalled, match=f"{file.name}, line 3: a lock pins each package as name==version"
    ):
        install(TOY, CPU, taking(place))
    pretend(place, "toy-1.0")
    assert standing(TOY, CPU).advice.startswith(f"{file.name}, line 3: ")


# ---------------------------------------------------------------- trials


def test_what_failed_its_trial_is_there_and_does_not_count(place: Path) -> None:
    with pytest.raises(
        NotInstalled,
        match=r"toy 1\.0 is installed, does not work and does not count: no operator nms",
    ):
        install(TOY, CPU, taking(place), fails="no operator nms")
    found = standing(TOY, CPU)
    assert (found.state, found.ready, found.state.startable) == (State.BROKEN, False, True)
    assert (found.trial, found.advice) == ("failed: no operator nms", "course engines try toy")


def test_what_failed_its_trial_does_not_replace_what_works(place: Path) -> None:
    pretend(place, "toy-0.9", stamp="0.9")
    with pytest.raises(
        NotInstalled, match=r"toy 1\.0 was installed and does not work: no operator nms"
    ):
        install(TOY, CPU, taking(place), fails="no operator nms")
    assert (standing(TOY, CPU).ready, standing(TOY, CPU).version) == (True, "0.9")


def test_an_interrupted_trial_leaves_an_environment_that_does_not_count(place: Path) -> None:
    pretend(place, "toy-1.0", trial="")
    assert (standing(TOY, CPU).state, standing(TOY, CPU).advice) == (
        State.UNTRIED,
        "course engines try toy",
    )


# ---------------------------------------------------------------- what pip says

MISMATCH = """ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE. If you have updated …
    numpy==2.4.6 from a file:
        Expected sha256 1
             Got        2
"""


@pytest.mark.parametrize(
    ("printed", "told"),
    [
        (
            MISMATCH,
            "numpy==2.4.6 on the package index is not the file that was locked; the lock is renewed with",
        ),
        (
            "ERROR: No matching distribution found for numpy==2.4.6",
            "numpy==2.4.6; the lock is renewed with",
        ),
        (
            "ERROR: Could not install packages: [Errno 28] No space left on device",
            "failed: the disk is full; ",
        ),
        (
            "WARNING: NameResolutionError\nERROR: No matching distribution found",
            "failed: the package index cannot be",
        ),
    ],
)
def test_a_step_that_fails_says_why_and_how_to_renew_the_lock(
    place: Path, printed: str, told: str
) -> None:
    locked("toy==1.0")

    def run(command: Sequence[str], variables: dict[str, str], log: Path) -> int:
        log.write_text(f"Collecting toy\n{printed}\n")
        return int("pip" in command)

    with pytest.raises(NotInstalled) as caught:
        install(TOY, CPU, run)
    assert told in str(caught.value)
    assert "lock is renewed" not in told or "`course engines lock toy`" in str(caught.value)
    assert standing(TOY, CPU).state is State.ABSENT
