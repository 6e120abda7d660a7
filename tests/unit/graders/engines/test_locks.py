"""The locks in the repository, their format, and how they are made; no network, no uv."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from graders.engines import lock_file, make_lock
from graders.engines.catalogue import CPU, CUDA, KINDS, EngineKind, InstallRecipe
from graders.engines.lock_file import Lock, LockBroken, Part, Pin, normal
from graders.engines.make_lock import NotLocked, Order

MACHINE = "linux_x86_64"
INSTALLABLE = [
    (kind, device)
    for kind in KINDS.values()
    for device, plan in kind.recipes.items()
    if not plan.missing
]
PYTHONS = ("3.11", "3.12")
A, B, C = ("a" * 64, "b" * 64, "c" * 64)


@pytest.mark.parametrize(
    ("kind", "device"), INSTALLABLE, ids=lambda each: getattr(each, "name", each)
)
def test_every_engine_has_a_lock_that_keeps_to_its_recipe(kind: EngineKind, device: str) -> None:
    plan, found = kind.recipes[device], lock_file.read(kind, device, MACHINE)
    assert "3.11" in found.pythons
    for python in found.pythons:
        versions = found.versions(python)
        for asked in (*plan.packages, *plan.bare):
            name, _, version = asked.partition("==")
            name = normal(re.split(r"[<>=]", name)[0])
            assert name in versions, (
                f"{name} is in the recipe and not in the lock: course engines lock {kind.name}"
            )
            assert not version or versions[name] == version, f"course engines lock {kind.name}"
        assert not versions.keys() & {normal(name) for name in plan.without}
    assert {pin.name for pin in found.parts.get(Part.SOURCE, ())} == set(plan.sources)
    assert all(why for why in plan.without.values())


@pytest.mark.parametrize("file", sorted(lock_file.FOLDER.glob("*.txt")), ids=lambda file: file.name)
def test_a_lock_names_no_index_and_no_folder(file: Path) -> None:
    for line in file.read_text(encoding="utf-8").splitlines():
        assert re.fullmatch(
            r"#.*|    --hash=sha256:[0-9a-f]{64}( \\)?|[\w.-]+==[\w.!+-]+( ; [^/]+)? \\", line
        ), line
        assert "://" not in line and "/" not in line.replace("and/or", "")


def test_what_is_written_is_read_again() -> None:
    pins = (Pin("a-b", "1.0", (A, B), PYTHONS), Pin("c", "2!1.0.post1", (C,), ("3.12",)))
    assert lock_file.parse(lock_file.text(pins, PYTHONS, ["a comment"]), PYTHONS, "x") == pins


@pytest.mark.parametrize(
    "line",
    [
        "numpy>=2 --hash=sha256:" + A,
        "numpy==2.4.6",
        "numpy==2.4.6 --hash=md5:" + A,
        f"numpy==2.4.6 --hash=sha256:{A} --hash=sha256:short",
        "--index-url somewhere",
        "-r other.txt",
        "numpy @ file:///numpy.whl --hash=sha256:" + A,
    ],
)
def test_a_line_that_pins_nothing_is_named(line: str) -> None:
    text = f"# a comment\nx==1 \\\n    --hash=sha256:{A}\n{line}\n"
    with pytest.raises(LockBroken, match=r"x\.txt, line 4: a lock pins each package"):
        lock_file.parse(text, PYTHONS, "x.txt")


def test_a_lock_that_is_not_there_or_says_no_python_is_a_clause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock_file, "FOLDER", tmp_path)
    with pytest.raises(
        LockBroken, match=r"vllm-cpu-linux_x86_64\.txt cannot be read: No such file"
    ):
        lock_file.read(KINDS["vllm"], CPU, MACHINE)
    (tmp_path / "vllm-cpu-linux_x86_64.txt").write_text(f"x==1 --hash=sha256:{A}\n")
    with pytest.raises(LockBroken, match="has no line '# python:'"):
        lock_file.read(KINDS["vllm"], CPU, MACHINE)


# ---------------------------------------------------------------- making them

TOY = EngineKind(
    "toy",
    "a toy",
    "toy.py",
    ("toy",),
    {
        CPU: InstallRecipe(
            ("toy", "torch==1", "nvidia-ml-py"),
            bare=("alone==3",),
            without={"junk": "it breaks the toy"},
            sources=("toy",),
            forced=("torch==1",),
            cpu_builds=(f"torch==1+cpu {C}",),
        )
    },
)
ORDER = Order(TOY, CPU, MACHINE)


def package(name: str, version: str, digest: str, kind: str = "wheels") -> str:
    file = f'{{ url = "https://somewhere/{name}", hashes = {{ sha256 = "{digest}" }} }}'
    files = f"[{file}]" if kind == "wheels" else file
    return f'[[packages]]\nname = "{name}"\nversion = "{version}"\n{kind} = {files}\n'


def resolve(arguments: Sequence[str], folder: Path) -> str:
    """uv, if the index were this small."""
    python = arguments[arguments.index("--python-version") + 1]
    if python == "3.14":
        raise NotLocked("nothing fits")
    if "--no-deps" in arguments:
        assert (folder / "in.txt").read_text() == "alone==3"
        return package("alone", "3", A)
    assert (folder / "forced.txt").read_text() == "torch==1"
    return "".join(
        [
            package("toy", "1.0", A, "sdist"),
            package("torch", "1", A if python == "3.11" else B),
            package("numpy", "2" if python == "3.11" else "3", A),
            package("junk", "1", A),
            package("nvidia-cublas", "13", A),
            package("nvidia-ml-py", "13", A),
        ]
    )


def test_a_lock_is_what_the_resolver_says_less_what_must_not_be_there() -> None:
    made = make_lock.make(ORDER, say=lambda line: None, resolve=resolve)
    assert made.pythons == ("3.11", "3.12", "3.13"), "one for which nothing fits is left out"
    assert [(pin.name, pin.version) for pin in made.parts[Part.MAIN]] == [
        ("alone", "3"),
        ("numpy", "2"),
        ("numpy", "3"),
        ("nvidia-ml-py", "13"),
        ("torch", "1"),
    ]
    assert [pin.name for pin in made.parts[Part.SOURCE]] == ["toy"]
    assert [pin.name for pin in made.parts[Part.CUDA]] == ["nvidia-cublas"]
    torch = next(pin for pin in made.pins if pin.name == "torch")
    assert (torch.version, torch.hashes) == ("1+cpu", (C,)), "asked for first"
    torch = next(pin for pin in made.parts[Part.MAIN] if pin.name == "torch")
    assert torch.hashes == (A, B), "of every Python"
    assert made.versions("3.11")["torch"] == "1"
    assert made.versions("3.11")["numpy"] == "2" and made.versions("3.13")["numpy"] == "3"


def test_a_lock_is_written_without_where_its_files_lie(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock_file, "FOLDER", tmp_path / "locks")
    made = make_lock.make(ORDER, say=lambda line: None, resolve=resolve)
    files = make_lock.write(ORDER, made)
    assert [file.name for file in files] == [
        f"toy-cpu-{MACHINE}{end}" for end in (".cpu.txt", ".txt", ".source.txt", ".cuda.txt")
    ]
    assert not any("somewhere" in file.read_text() for file in files)
    assert "# without junk: it breaks the toy\n" in files[1].read_text()
    assert "# without" not in files[0].read_text()
    again = lock_file.read(TOY, CPU, MACHINE)
    assert make_lock.differences(made, again) == []
    fewer = Lock({Part.MAIN: again.parts[Part.MAIN]}, again.pythons)
    assert [file.name for file in make_lock.write(ORDER, fewer)] == [f"toy-cpu-{MACHINE}.txt"]
    assert lock_file.read(TOY, CPU, MACHINE) == fewer, "a part that is gone leaves no file"


def test_a_check_keeps_the_versions_and_tells_other_files() -> None:
    made = make_lock.make(ORDER, say=lambda line: None, resolve=resolve)

    def tampered(arguments: Sequence[str], folder: Path) -> str:
        assert "numpy==" in (folder / "kept.txt").read_text()
        return resolve(arguments, folder).replace(
            f'numpy", hashes = {{ sha256 = "{A}', f'numpy", hashes = {{ sha256 = "{B}'
        )

    checked = make_lock.make(ORDER, say=lambda line: None, keep=made, resolve=tampered)
    assert make_lock.differences(made, checked) == ["numpy 2 and 3: other files"]
    renewed = Lock({Part.MAIN: (Pin("torch", "2", (A,), made.pythons),)}, made.pythons)
    assert "torch: 1 and 1+cpu, now 2" in make_lock.differences(made, renewed)
    assert "toy: 1.0, now none" in make_lock.differences(made, renewed)


@pytest.mark.parametrize(
    ("order", "told"),
    [
        (
            Order(KINDS["tensorrt-llm"], CPU, MACHINE),
            "tensorrt-llm has no lock for cpu: TensorRT-LLM needs an",
        ),
        (
            Order(KINDS["reference"], CPU, MACHINE),
            "reference has no lock for cpu: it is part of the course",
        ),
        (Order(TOY, CUDA, MACHINE), "there is no cuda build of a toy"),
        (
            Order(TOY, CPU, "plan9_mips"),
            "locks are made for linux_x86_64 and linux_aarch64, not for plan9_mips",
        ),
    ],
)
def test_what_cannot_be_locked_is_said(order: Order, told: str) -> None:
    with pytest.raises(NotLocked, match=told):
        make_lock.make(order, say=lambda line: None, resolve=resolve)


def test_a_resolver_that_finds_nothing_or_rambles_is_one_sentence() -> None:
    def nothing(arguments: Sequence[str], folder: Path) -> str:
        raise NotLocked("uv found no set of packages")

    with pytest.raises(NotLocked, match="uv found no set of packages"):
        make_lock.make(ORDER, say=lambda line: None, resolve=nothing)
    for answer in ("not toml", '[[packages]]\nname = "x"\n'):
        with pytest.raises(NotLocked, match="uv's answer is not understood"):
            make_lock.make(
                ORDER, say=lambda line: None, resolve=lambda arguments, folder, told=answer: told
            )


def test_without_uv_it_is_said_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(make_lock.sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr(make_lock.shutil, "which", lambda name: None)
    with pytest.raises(NotLocked, match="making a lock needs uv; pip install uv"):
        make_lock.uv(["--version"], tmp_path)
