"""The bounds file: what is shipped can be used, an instructor's replaces it, and a bad one is
refused in a sentence."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from graders.throughput.bounds import REFERENCE, SHIPPED, VARIABLE, BadBounds, measures, read, whose

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
def test_every_exercise_has_a_bound_against_the_reference_and_one_against_vllm(
    exercise: int,
) -> None:
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
    assert measures(2) == tuple(
        each for each in read(SHIPPED) if each.exercise == 2 and each.device == "cpu"
    )


def test_a_file_in_the_workspace_is_found(tmp_path: Path) -> None:
    assert measures(1, beside=tmp_path) == measures(1)
    (tmp_path / "bounds.toml").write_text(OWN)
    assert measures(1, beside=tmp_path)[0].bounds[0].bound == 0.2


def test_whose_bounds_they_are_is_told_with_the_file(tmp_path: Path) -> None:
    assert whose(1, beside=tmp_path) == ""
    (tmp_path / "bounds.toml").write_text(OWN)
    assert (
        whose(1, beside=tmp_path)
        == f"the bounds are those of {tmp_path / 'bounds.toml'}, not the course's"
    )
    assert whose(2, beside=tmp_path) == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[measure", "is not TOML"),
        ("a = " + "[" * 50_000, "is not TOML: .* nested too deeply"),
        ("a = " + "9" * 5_000, "is not TOML: .* too long"),
        ("answer = 42", "a list of"),
        ("measure = 42", "a list of"),
        ("", r"holds no \[\[measure\]\]"),
        ("measure = []", r"holds no \[\[measure\]\]"),
        ("measure = [7]", "measure 1: it is 7; it must be a table"),
        (
            OWN + "speed = 3",
            "nobody knows speed; use exercise, workload, against, device, scale, model",
        ),
        (
            OWN.replace("ragged", "smooth"),
            'workload is "smooth"; it must be one of ragged, arrivals',
        ),
        (OWN.replace('"ragged"', "7"), "workload is 7; it must be one of ragged"),
        (OWN.replace("exercise = 1", ""), "measure 1: it lacks exercise"),
        *(
            (
                OWN.replace("exercise = 1", f"exercise = {bad}"),
                f"exercise is {bad}; it must be one of 1, 2, 3, 4",
            )
            for bad in ("9", "1.9", "true", '"1"', "{}")
        ),
        *(
            (OWN + f"device = {bad}", f"device is {bad}; it must be one of cpu, cuda")
            for bad in ('"tpu"', "1")
        ),
        *(
            (OWN + f"scale = {bad}", f"scale is {bad}; it must be a finite number above 0")
            for bad in ("0", "-1", "inf", "nan", '"1"', "true")
        ),
        (OWN + "scale = " + "9" * 400, "scale is 9{59}…; it must be a finite"),
        (OWN + "scale = 1e9", "makes more than 100,000 requests"),
        *(
            (OWN + f'model = "{bad}"', f"called '{shown}'")
            for bad, shown in (("nope", "nope"), ("waiter@nope", "nope"), ("random:nope", "nope"))
        ),
        (OWN + "model = 5", "model is 5; it must be a text"),
        (
            OWN.replace("ragged", "predictable_talk_1") + 'model = "random:5m"',
            "nobody guesses for random:5m",
        ),
        (OWN.replace(".reference", ".vllm"), "against lacks reference"),
        (
            OWN + "against.nope = { floor = 0.1, bound = 0.2 }",
            "in against nobody knows nope; use reference, .*vllm",
        ),
        (OWN.replace("against.reference", "against"), "against lacks reference"),
        (OWN.replace("floor = 0.1, ", ""), r"against\.reference lacks floor"),
        (
            OWN.replace("bound = 0.2 }", "bound = 0.2, roof = 1 }"),
            r"in against\.reference nobody knows roof",
        ),
        (
            OWN.replace("{ floor = 0.1, bound = 0.2 }", "0.2"),
            r"against\.reference is 0\.2; it must be a table",
        ),
        (
            OWN.replace("0.1", "0.3"),
            r"against\.reference\.floor is 0\.3; it must be below its bound, 0\.2",
        ),
        *(
            (OWN.replace("0.1", bad), f"floor is {bad}; it must be a finite number, 0 or above")
            for bad in ("-1", "nan", '"0.1"', "false")
        ),
        *(
            (OWN.replace("0.2", bad), f"bound is {bad}; it must be a finite number above 0")
            for bad in ("inf", "nan", '"0.2"', "true", "0")
        ),
    ],
)
def test_a_bad_file_is_refused_in_a_sentence(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "bounds.toml"
    path.write_text(text)
    with pytest.raises(BadBounds, match=said) as caught:
        read(path)
    told = str(caught.value)
    assert told.startswith(str(path)) and told.endswith(".") and len(told) < len(str(path)) + 200
    assert "Error" not in told


def test_a_folder_in_the_place_of_the_workspaces_file_is_no_file_to_pass_over(
    tmp_path: Path,
) -> None:
    (tmp_path / "bounds.toml").mkdir()
    with pytest.raises(BadBounds, match=r"bounds\.toml cannot be read: Is a directory"):
        measures(1, beside=tmp_path)


def test_a_file_that_is_no_text_is_said_to_be_none(tmp_path: Path) -> None:
    (tmp_path / "bounds.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(BadBounds, match="is not TOML: it is no UTF-8 text"):
        measures(1, beside=tmp_path)


def checkpoint(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"vocab_size": 512, "max_position_embeddings": 4096}')
    return folder


def test_a_model_is_a_folder_named_from_the_file_on_wherever_the_course_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = checkpoint(tmp_path / "course" / "our-model")
    (tmp_path / "course" / "waiter").mkdir()
    path = tmp_path / "course" / "bounds.toml"
    monkeypatch.setenv("HOME", str(tmp_path))
    for name, meant in (
        ("our-model", str(folder)),
        ("~/course/our-model", str(folder)),
        (str(folder), str(folder)),
        ("waiter", "waiter"),
        ("waiter@20m", "waiter@20m"),
        ("random:tiny@7", "random:tiny@7"),
    ):
        path.write_text(OWN.replace("ragged", "nothing_shared") + f'model = "{name}"')
        assert read(path)[0].model == meant


@pytest.mark.parametrize("name", ["~nobody-of-this-name/model", "nul\\u0000", "x" * 300])
def test_a_model_that_no_folder_can_be_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "bounds.toml"
    path.write_text(OWN + f'model = "{name}"')
    with pytest.raises(BadBounds, match="no model is called"):
        read(path)


def test_nobody_guesses_for_a_model_of_ones_own(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "our-model")
    path = tmp_path / "bounds.toml"
    path.write_text(OWN.replace("ragged", "predictable_talk_1") + 'model = "our-model"')
    with pytest.raises(
        BadBounds, match=f"nobody guesses for {folder}; predictable_talk_1 needs the waiter"
    ):
        read(path)


def test_no_torch_is_needed_to_read_bounds() -> None:
    code = "import sys; from graders.throughput.bounds import measures; measures(4); print('torch' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip()
        == "False"
    )


def test_a_file_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "gone.toml"))
    with pytest.raises(BadBounds, match=r"gone\.toml cannot be read"):
        measures(1)
