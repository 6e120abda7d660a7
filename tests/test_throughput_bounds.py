"""The bounds file: what is shipped can be used, an instructor's replaces it, and a bad one is refused in a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from graders.throughput.bounds import REFERENCE, SHIPPED, VARIABLE, BadBounds, measures, read

OWN = """
[[measure]]
exercise = 1
workload = "ragged"
against.reference = { floor = 0.1, bound = 0.2 }
"""


@pytest.fixture(autouse=True)
def nothing_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)


@pytest.mark.parametrize("exercise", [1, 2, 3, 4])
def test_every_exercise_has_a_bound_against_the_reference_and_one_against_vllm(exercise: int) -> None:
    for measure in measures(exercise):
        assert measure.against(REFERENCE) is not None
        assert measure.against("vllm") is not None
        assert measure.against("nobody") is None


def test_an_unknown_device_class_has_no_bounds() -> None:
    assert measures(1, "abacus") == ()


def test_the_file_named_in_the_environment_replaces_its_exercises_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(OWN)
    monkeypatch.setenv(VARIABLE, str(path))
    (measure,) = measures(1)
    assert (measure.bounds[0].floor, measure.bounds[0].bound, measure.scale) == (0.1, 0.2, 1.0)
    assert measures(2) == tuple(each for each in read(SHIPPED) if each.exercise == 2 and each.device == "cpu")


def test_a_file_in_the_workspace_is_found(tmp_path: Path) -> None:
    assert measures(1, beside=tmp_path) == measures(1)
    (tmp_path / "bounds.toml").write_text(OWN)
    assert measures(1, beside=tmp_path)[0].bounds[0].bound == 0.2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[measure", "is not TOML"),
        ("answer = 42", "a list of"),
        (OWN + "speed = 3", "nobody knows speed"),
        (OWN.replace("ragged", "smooth"), "no workload is called 'smooth'"),
        (OWN.replace("0.1", "0.3"), "a floor and a higher bound"),
        (OWN.replace(".reference", ".vllm"), "a bound against 'reference'"),
        (OWN.replace("exercise = 1", ""), "a measure needs exercise"),
        (OWN + "scale = 0", "a scale above 0"),
        (OWN.replace("floor = 0.1, ", ""), "a measure needs"),
    ],
)
def test_a_bad_file_is_refused_in_a_sentence(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "bounds.toml"
    path.write_text(text)
    with pytest.raises(BadBounds, match=said) as caught:
        read(path)
    assert "bounds.toml" in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "gone.toml"))
    with pytest.raises(BadBounds, match=r"gone\.toml cannot be read"):
        measures(1)
