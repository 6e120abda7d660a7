"""The doctor reports what is there, and does not fall ill over a patient."""

from __future__ import annotations

import pytest
from conftest import Type

from course.commands import doctor
from course.workspace import Workspace

WITHOUT_SECCOMP = ("--without", "namespaces", "--without", "seccomp", "--without", "uid", "--without", "bubblewrap")


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
    assert "1 thing to mend" in shown.out


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


def test_a_lock_that_lets_something_through_is_named(course: Type) -> None:
    """Landlock alone lets datagrams out; where there is no Landlock either, L2 cannot be had and says so."""
    shown = course("doctor", "--isolation", *WITHOUT_SECCOMP)
    refused = "L2: this kernel has no Landlock" in shown.out
    assert shown.code == (0 if refused else 3)
    assert refused or "Open, but should be blocked at L2: UDP and name service" in shown.out


def test_a_lock_is_left_out_of_the_trial_only(course: Type) -> None:
    shown = course("doctor", "--without", "uid")
    assert shown.code == 2
    assert "course doctor --isolation --without uid" in shown.err
