"""`course engines` and `course race` as they are typed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from course.cli import run
from course.commands import race as race_command
from course.race import files as race_files
from course.race import readme_table
from course.race.table import render
from course.terminal import console
from graders.engines import environments, lock_file, make_lock
from graders.engines import smoke_test as trial
from graders.engines.catalogue import KINDS
from graders.engines.lock_file import python_here
from graders.engines.race import RacePlan
from graders.engines.results import RaceEntry, RaceResults, RaceSample, RaceSetup, Result, read

COURSE = RaceSetup(
    workload="ragged",
    model="waiter",
    seed=0,
    scale=1.0,
    rounds=1,
    device="cpu",
    machine="a machine",
    threads=2,
    dtype="float32",
    kv_tokens=4096,
    max_seqs=64,
    prefix_cache=False,
    arriving=False,
    requests=64,
    bandwidth=1e10,
    peak=1e11,
    date="2026-11-23",
    busy=0.5,
)
LAP = RaceSample(0, 0, "abc", 2.0, 1.5, 300, 100, (0.5, 0.9), (0.01, 0.02), 0.1)
FINE = RaceResults(
    COURSE, (RaceEntry("reference", "ours", "1"),), (Result("reference", "whole", 0, (LAP,)),)
)
OUT = RaceResults(
    COURSE,
    (
        *FINE.entrants,
        RaceEntry("vllm", "vLLM", failure="died", sentence="vllm died: it was killed"),
    ),
    FINE.results,
)
LOCKED = lock_file.read(KINDS["transformers"], "cpu", "linux_x86_64").versions(python_here())


@pytest.fixture(autouse=True)
def nothing_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COURSE_ENGINES", str(tmp_path / "engines"))


def test_engines_lists_every_engine_and_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["engines"]) == 0
    said = capsys.readouterr().out
    for word in (
        "reference",
        "naive",
        "vllm",
        "sglang",
        "tensorrt-llm",
        "llama.cpp",
        "ollama",
        "transformers",
    ):
        assert word in said
    assert "course engines install" in said


def test_engines_list_is_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    run(["engines"])
    first = capsys.readouterr().out
    assert run(["engines", "list"]) == 0
    assert capsys.readouterr().out == first


@pytest.mark.parametrize("verb", ["install", "try"])
def test_an_unknown_engine_is_named(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["engines", verb, "gpt"]) == 2
    assert "there is no engine called 'gpt'" in capsys.readouterr().err


def test_what_is_not_installed_cannot_be_tried(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["engines", "try", "transformers"]) == 3
    assert "course engines install transformers" in capsys.readouterr().err


def test_what_cannot_be_had_here_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["engines", "install", "tensorrt-llm", "--device", "cpu"]) == 3
    assert "TensorRT-LLM needs an NVIDIA GPU" in capsys.readouterr().err


def test_our_own_engine_needs_no_installation(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["engines", "install", "reference"]) == 2
    assert (
        "reference is part of the course; there is nothing to install." in capsys.readouterr().err
    )


def test_a_fresh_installation_that_fails_leaves_the_old_one_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pretend(tmp_path / "engines" / "transformers")
    monkeypatch.setattr("graders.engines.installing.logged", lambda command, variables, log: 1)
    assert run(["engines", "install", "transformers", "--device", "cpu", "--fresh"]) == 3
    assert "transformers 5.23.0 is still there as it was." in capsys.readouterr().err
    assert environments.standing(KINDS["transformers"], "cpu").ready


def pretend(place: Path, trial: str = "worked on 2026-11-28", **others: str) -> None:
    """An environment of transformers as an installation for a CPU would leave it. others: versions
    not as locked."""
    (place / "bin").mkdir(parents=True)
    (place / "bin" / "python").touch()
    for name, version in (LOCKED | others).items():
        (
            place
            / "lib"
            / f"python{python_here()}"
            / "site-packages"
            / f"{name}-{version}.dist-info"
        ).mkdir(parents=True)
    environments.write_stamp(place, version="5.23.0", device="cpu", trial=trial)


def test_an_environment_that_is_not_as_locked_is_named_and_enters_no_race(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pretend(tmp_path / "engines" / "transformers", numpy="1.0")
    assert (
        environments.drift(KINDS["transformers"])
        == f"numpy is 1.0, and {LOCKED['numpy']} in its lock"
    )
    assert run(["engines", "try", "transformers"]) == 3
    said = " ".join(capsys.readouterr().err.split())
    assert (
        f"not as its lock says. numpy is 1.0, and {LOCKED['numpy']} in its lock; course engines install"
        in said
    )


def test_an_environment_whose_trial_failed_says_why_and_can_be_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pretend(tmp_path / "engines" / "transformers", trial="failed: no operator nms")
    assert not environments.standing(KINDS["transformers"]).ready
    monkeypatch.setattr(
        "graders.engines.smoke_test.trial", lambda kind: trial.SmokeTest(True, "it works.")
    )
    assert run(["engines", "try", "transformers"]) == 0
    assert "it works." in capsys.readouterr().out


def test_a_platform_without_a_lock_is_told_of_unlocked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(lock_file, "here", lambda: "darwin_arm64")
    assert run(["engines", "install", "transformers", "--device", "cpu"]) == 3
    assert capsys.readouterr().err == (
        "transformers cannot be installed here: there is no lock of transformers for cpu on darwin_arm64; "
        "--unlocked takes the newest packages, and what they do is anybody's guess.\n"
    )


def test_what_was_installed_without_a_lock_is_called_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(lock_file, "here", lambda: "darwin_arm64")
    monkeypatch.setenv("COLUMNS", "200")
    pretend(tmp_path / "engines" / "transformers", numpy="1.0")
    assert run(["engines"]) == 0
    assert "ready, without a lock" in " ".join(capsys.readouterr().out.split())


def test_a_lock_is_checked_and_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    old = lock_file.read(KINDS["transformers"], "cpu", "linux_x86_64")
    monkeypatch.setattr(lock_file, "FOLDER", tmp_path)
    found = [old]
    monkeypatch.setattr(make_lock, "make", lambda order, say, keep: found[0])
    typed = ["engines", "lock", "transformers", "--device", "cpu", "--platform", "linux_x86_64"]
    assert run([*typed, "--check"]) == 3, "there is none yet"
    assert "transformers-cpu-linux_x86_64.txt cannot be read" in capsys.readouterr().err
    assert run(typed) == 0
    assert run([*typed, "--check"]) == 0
    assert "it holds." in capsys.readouterr().out
    main = tuple(pin for pin in old.parts[lock_file.Part.MAIN] if pin.name != "tqdm")
    found[0] = lock_file.Lock({**old.parts, lock_file.Part.MAIN: main}, old.pythons)
    assert run([*typed, "--check"]) == 3
    said = capsys.readouterr().out
    assert (
        f"tqdm: {LOCKED['tqdm']}, now none" in said
        and "renew it with `course engines lock transformers`" in said
    )


@pytest.mark.parametrize("name", ["reference", "tensorrt-llm"])
def test_what_has_no_lock_is_one_sentence(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["engines", "lock", name, "--device", "cpu"]) == 3
    assert f"{name} has no lock for cpu: " in capsys.readouterr().err


def test_a_trial_of_an_environment_that_cannot_be_written_is_one_all_the_same() -> None:
    trial._remember(KINDS["transformers"], "worked")
    assert environments.read_stamp(environments.folder(KINDS["transformers"])) == {}


def test_a_build_for_another_device_is_not_what_was_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pretend(tmp_path / "engines" / "transformers")
    assert run(["engines", "install", "transformers", "--device", "cuda"]) == 2
    said = capsys.readouterr().err
    assert said == "transformers 5.23.0 is installed for cpu, not for cuda; --fresh replaces it.\n"
    assert run(["engines", "install", "transformers", "--device", "cpu"]) == 0
    assert "installed already" in capsys.readouterr().out


def test_a_folder_of_engines_that_is_a_file_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "engines").touch()
    assert run(["engines", "install", "transformers", "--device", "cpu"]) == 3
    assert f"{tmp_path / 'engines'} is a file, not a folder" in capsys.readouterr().err


@pytest.mark.parametrize("found", [FINE, OUT])
def test_race_prints_writes_and_ends_with_its_code(
    found: RaceResults,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked: list[RacePlan] = []

    def run_it(plan: RacePlan) -> RaceResults:
        asked.append(plan)
        return found

    monkeypatch.setattr(race_command, "_run", run_it)
    files = ["--json", str(tmp_path / "race.json"), "--svg", str(tmp_path / "race.svg")]
    asks = ["--pairs", "3", "--sweep", "1,8", "--kv-dtype", "bfloat16"]
    code = run(["race", "--engines", "reference, vllm", *asks, *files])
    assert code == (0 if found is FINE else 3)
    assert asked == [RacePlan(("reference", "vllm"), rounds=3, batches=(1, 8), kv_dtype="bfloat16")]
    assert read((tmp_path / "race.json").read_text()) == found
    assert (tmp_path / "race.svg").read_text().startswith("<svg")
    said = capsys.readouterr().out
    assert "50" in said
    assert ("vllm died: it was killed" in said) == (found is OUT)


@pytest.mark.parametrize("found", [FINE, OUT])
def test_a_race_is_stored_for_the_readme_when_every_engine_ran_to_the_end(
    found: RaceResults,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(race_command, "_run", lambda plan: found)
    monkeypatch.setattr("course.workspace.installed_root", lambda: tmp_path)
    assert run(["race", "--store"]) == 2
    assert "--store works in a clone of the project only" in capsys.readouterr().err
    (tmp_path / "pyproject.toml").touch()
    assert run(["race", "--store", "--model", "a/folder"]) == 2
    path = tmp_path / readme_table.path("ragged-waiter@20m")
    assert run(["race", "--model", "waiter@20m", "--store"]) == (0 if found is FINE else 3)
    said = capsys.readouterr().err
    if found is FINE:
        assert read(path.read_text()) == found
    else:
        assert (
            not path.exists()
            and f"{path} is left as it was: not every engine ran to the end." in said
        )


@pytest.mark.parametrize("sweep", ["one", "0", "-4,8"])
def test_a_sweep_of_no_batches_is_a_usage_error(
    sweep: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["race", f"--sweep={sweep}"]) == 2
    assert "are no batches" in capsys.readouterr().err


def test_an_unknown_engine_in_a_race_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["race", "--engines", "reference,gpt"]) == 2
    assert "no engine called 'gpt'; there are reference, naive, vllm" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("engines", "expected"),
    [
        ("reference;naive", "separate them with commas."),
        ("reference naive", "separate them with commas."),
        ("", "--engines names none; there are reference, naive, vllm"),
        (" , ", "--engines names none"),
    ],
)
def test_engines_typed_another_way_are_a_usage_error(
    engines: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["race", "--engines", engines]) == 2
    assert expected in capsys.readouterr().err


@pytest.fixture
def never(monkeypatch: pytest.MonkeyPatch) -> None:
    """No race may start."""

    def start(plan: RacePlan) -> RaceResults:
        raise AssertionError("it started")

    monkeypatch.setattr(race_command, "_run", start)


@pytest.mark.parametrize(
    "typed",
    [
        ["--scale", "inf"],
        ["--scale", "nan"],
        ["--scale", "-1"],
        ["--timeout", "inf"],
        ["--timeout", "nan"],
    ],
)
def test_numbers_without_an_end_are_usage_errors(
    typed: list[str], never: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["race", *typed]) == 2
    assert f"Invalid value for '{typed[0]}'" in capsys.readouterr().err


def test_a_scale_of_a_million_guests_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["race", "--scale", "1e9"]) == 2
    assert "asks for more than 100,000 requests of ragged" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--json", "--svg", "--png"])
def test_where_results_cannot_go_is_known_before_the_race(
    option: str, never: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path, why in (
        (tmp_path, "it is a folder; name a file in it"),
        (tmp_path / "gone" / "race", f"there is no folder {tmp_path / 'gone'}; make it first"),
        (Path("/dev/null"), "it is no ordinary file"),
        (Path("/proc/race"), ""),
        (tmp_path / ("long" * 100), ""),
    ):
        assert run(["race", option, str(path)]) == 2
        assert f"{path} cannot be written: {why}" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_every_bad_path_is_named_at_once(
    never: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["race", "--json", str(tmp_path), "--svg", str(tmp_path / "gone" / "a.svg")]) == 2
    assert capsys.readouterr().err.count("cannot be written") == 2
    assert run(["race", "--json", str(tmp_path / "a"), "--svg", str(tmp_path / "a")]) == 2
    assert "name one file" in capsys.readouterr().err


def test_a_png_without_matplotlib_is_refused_before_the_race(
    never: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(race_files, "find_spec", lambda name: None)
    assert run(["race", "--png", str(tmp_path / "race.png")]) == 2
    assert "--png needs matplotlib" in capsys.readouterr().err


def test_a_file_that_fails_at_the_end_does_not_keep_the_others_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "fine").mkdir()

    def run_it(plan: RacePlan) -> RaceResults:
        (tmp_path / "fine").rename(tmp_path / "moved")
        return FINE

    monkeypatch.setattr(race_command, "_run", run_it)
    files = {"--json": tmp_path / "fine" / "race.json", "--svg": tmp_path / "race.svg"}
    assert run(["race", *(str(word) for pair in files.items() for word in pair)]) == 2
    assert (
        capsys.readouterr().err
        == f"{files['--json']} cannot be written: No such file or directory.\n"
    )
    assert files["--svg"].read_text().startswith("<svg")


def stopped_by(number: signal.Signals) -> Callable[..., RaceResults]:
    """A race during which that signal comes."""

    def race(plan: RacePlan, **_: object) -> RaceResults:
        os.kill(os.getpid(), number)
        raise AssertionError("it went on")

    return race


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_before_the_first_round_says_that_nothing_is_kept(
    number: signal.Signals,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr("graders.engines.race.race", stopped_by(number))
    assert run(["race", "--json", str(tmp_path / "race.json")]) == 130
    said = capsys.readouterr().err
    assert "there are no figures, and nothing was written" in said
    assert "Nothing is lost" not in said
    assert signal.getsignal(signal.SIGTERM) == before


def test_an_interrupted_race_shows_and_writes_what_is_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = replace(FINE, interrupted=True)
    monkeypatch.setattr(race_command, "_run", lambda plan: found)
    assert run(["race", "--json", str(tmp_path / "race.json")]) == 130
    assert "Interrupted after 1 round: what came later does not count." in capsys.readouterr().out
    assert read((tmp_path / "race.json").read_text()) == found


def shown(standings: RaceResults, width: int = 200) -> str:
    """What is printed of a race."""
    screen = console()
    screen.width = width
    with screen.capture() as caught:
        for block in render(standings):
            screen.print(block, soft_wrap=isinstance(block, str))
    return caught.get()


def test_the_words_below_the_table_say_what_is_doubtful() -> None:
    assert "The machine was busy: ratios may be off" not in shown(FINE)
    assert "The machine was busy: ratios may be off" in shown(
        replace(FINE, course=replace(COURSE, busy=0.51))
    )
    assert "Only reference is left: there is nothing to compare it with." in shown(OUT)
    assert "1 round, interleaved" in shown(FINE)
    gone = RaceEntry(
        "vllm",
        "vLLM",
        failure="not installed",
        sentence="not installed; course engines install vllm",
    )
    told = shown(replace(FINE, entrants=(gone, *FINE.entrants)))
    assert "\nvllm: not installed; course engines install vllm\n" in told
    others = (*FINE.results, Result("naive", "whole", 0, (LAP,)))
    told = shown(RaceResults(COURSE, (gone, *FINE.entrants, RaceEntry("naive", "ours")), others))
    assert "Ratios are to reference, as vllm is out." in told


def test_a_table_with_the_longest_name_fits_into_eighty_columns() -> None:
    slow = replace(LAP, tokens_out=120_000, ttft=(0.512, 12.9), tpot=(1.234, 2.345))
    results = tuple(
        Result(name, "whole", 0, (slow, slow)) for name in ("reference", "tensorrt-llm")
    )
    told = shown(
        RaceResults(
            COURSE, (RaceEntry("reference", "ours"), RaceEntry("tensorrt-llm", "")), results
        ),
        80,
    )
    assert "roof" in told and "…" not in told


def test_help_needs_no_torch() -> None:
    typed = "run(['race', '--help']); run(['engines'])"
    code = f"import sys; from course.cli import run; {typed}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


@pytest.mark.parametrize("text", [None, "{}", "no JSON"])
def test_costs_of_what_is_no_race_is_a_sentence(
    text: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.json"
    if text is not None:
        path.write_text(text)
    assert run(["costs", str(path)]) == 2
    assert ("cannot be read" if text is None else "holds no race") in capsys.readouterr().err


def test_costs_of_requests_alone_are_printed_and_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    laps = {
        "prompt": replace(LAP, tokens_out=1),
        "context": replace(LAP, tokens_in=0, tokens_out=32),
    }
    alone = replace(
        FINE, results=tuple(Result("reference", name, 300, (lap,)) for name, lap in laps.items())
    )
    race_files.RaceFiles(json=tmp_path / "a.json", svg=tmp_path / "a.svg").write(alone)
    assert "Over context" in (tmp_path / "a.svg").read_text()
    assert run(["costs", str(tmp_path / "a.json"), "--svg", str(tmp_path / "b.svg")]) == 0
    assert (tmp_path / "b.svg").read_text() == (tmp_path / "a.svg").read_text()
    assert "62.5 (20.0x)" in capsys.readouterr().out
    assert run(["costs", str(tmp_path / "a.json"), "--svg", str(tmp_path)]) == 2
    assert "it is a folder" in capsys.readouterr().err


@pytest.mark.parametrize("lengths", [("many",), ("64", "--store")])
def test_lengths_that_are_none_or_cannot_be_stored_are_a_usage_error(
    lengths: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["race", "--lengths", *lengths]) == 2
    assert "lengths" in capsys.readouterr().err
