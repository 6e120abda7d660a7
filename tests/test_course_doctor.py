"""The doctor reports what is there, and does not fall ill over a patient."""

from __future__ import annotations

import pytest
from conftest import Type

from course.commands import doctor
from course.workspace import Workspace


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
