"""The doctor reports what is there, and does not fall ill over a patient."""

from __future__ import annotations

from collections.abc import Collection

import pytest
from conftest import Type

from course.commands import doctor
from course.workspace import Workspace
from graders.sandbox.isolation import spawn
from graders.sandbox.isolation.levels import LOCKS
from graders.sandbox.probe import probe

WITHOUT_SECCOMP = (
    "--without",
    "namespaces",
    "--without",
    "seccomp",
    "--without",
    "uid",
    "--without",
    "bubblewrap",
)


@pytest.fixture
def healthy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the examinations that import torch or start processes."""
    for name in ("_device", "_isolation"):
        monkeypatch.setattr(doctor, name, list)


def test_a_sound_installation_is_well(course: Type, healthy: None, place: Workspace) -> None:
    shown = course("doctor")
    assert shown.code == 0
    assert "All is well." in shown.out
    assert str(place.root) in shown.out


def test_a_missing_package_is_named_with_what_to_type(
    course: Type, healthy: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "NEEDED", ("click", "no-such-package"))
    shown = course("doctor")
    assert shown.code == 3
    assert "missing: no-such-package; install the course again: make demo" in shown.out
    assert "1 thing to fix" in shown.out


def test_an_examination_that_fails_is_a_finding_and_the_others_go_on(
    course: Type, healthy: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def _model() -> list[doctor.Finding]:
        raise OSError("the disk is on fire\nsecond line")

    monkeypatch.setattr(doctor, "_model", _model)
    shown = course("doctor")
    assert shown.code == 3
    assert "OSError: the disk is on fire" in shown.out
    assert "second line" not in shown.out
    assert "scratch" in shown.out


def test_the_table_of_escapes_on_a_machine_without_user_namespaces(course: Type) -> None:
    shown = course("doctor", "--isolation", "--without", "namespaces", "--without", "bubblewrap")
    assert shown.code == 0
    assert "L3: user namespaces are off" in shown.out
    assert "solutions" in shown.out
    assert "Chosen here: L3" not in shown.out


@pytest.mark.parametrize(
    "without", [(), ("namespaces", "bubblewrap"), LOCKS], ids=["all", "no namespaces", "nothing"]
)
def test_the_table_is_the_truth_with_user_namespaces_and_without(
    course: Type, without: Collection[str]
) -> None:
    """Chosen is what a worker gets; every column is what an escape at that level comes to."""
    shown = course(
        "doctor", "--isolation", *(word for lock in without for word in ("--without", lock))
    )
    process = spawn(without=without)
    process.end()
    assert f"Chosen here: {process.level}" in shown.out
    assert ("L3: user namespaces are off" in shown.out) == bool(without)
    reports = [report for report in probe(without=without) if report.reached]
    for row, attempt in enumerate(reports[0].attempts):
        (line,) = (line for line in shown.out.splitlines() if line.startswith(attempt.name + "  "))
        words = ["blocked" if report.attempts[row].blocked else "open" for report in reports]
        assert line.removeprefix(attempt.name).split() == words


def test_a_lock_that_lets_something_through_is_named(course: Type) -> None:
    """Landlock alone lets datagrams out; where there is no Landlock either, L2 cannot be had and
    says so."""
    shown = course("doctor", "--isolation", *WITHOUT_SECCOMP)
    refused = "L2: this kernel has no Landlock" in shown.out
    assert shown.code == (0 if refused else 3)
    assert refused or "Open, but should be blocked at L2: UDP and name service" in shown.out


def test_a_lock_is_left_out_of_the_trial_only(course: Type) -> None:
    shown = course("doctor", "--without", "uid")
    assert shown.code == 2
    assert "course doctor --isolation --without uid" in shown.err
