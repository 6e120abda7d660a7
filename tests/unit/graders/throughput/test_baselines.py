"""Baseline cards: what they carry, and that an edited, foreign or outdated card never counts."""

from __future__ import annotations

import ast
import json
import re
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from graders.engines.loaded import of_model
from graders.throughput import baselines, hardware, opponents
from graders.throughput.baselines import BadCard, BaselineCard, Sample, find, load, save, verify
from graders.throughput.bounds import Measure
from graders.throughput.engine_digest import code, engine_digest, told
from graders.throughput.hardware import COMPILED, Hardware, here
from graders.workloads import workload

SCALE = 0.05
HERE = Hardware("cpu", "Some CPU", 2, ("avx2", "avx512f"))

MEASURE = Measure(1, "cpu", "ragged", SCALE, ())


def card(**changed: object) -> BaselineCard:
    samples = tuple(
        Sample(seed, workload("ragged", seed, scale=SCALE).hash, 3.0 + seed, 1.0)
        for seed in range(3)
    )
    made = BaselineCard(
        engine="vllm",
        version="0.32.0",
        flags={"dtype": "float32", "eager": True},
        note="its CPU build",
        model="waiter",
        workload="ragged",
        scale=SCALE,
        samples=samples,
        hardware=HERE,
        reference=engine_digest(),
        verified=True,
        date="2026-11-23",
        **of_model("waiter").as_json(),
    )
    return replace(made, **changed)


def test_a_card_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    path = save(card(), tmp_path)
    assert load(path) == verify(path, HERE) == card()
    assert card().slowness == 4.0 and card().spread == (3.0, 5.0)
    assert card().label == "vllm 0.32.0 (card of 2026-11-23)"


def test_any_edit_is_detected(tmp_path: Path) -> None:
    path = save(card(), tmp_path)
    good = path.read_text()
    for before, after in [
        ("3.0", "9.0"),
        ("0.32.0", "0.33.0"),
        ("2026", "2027"),
        ('"cores": 2', '"cores": 4'),
    ]:
        assert before in good
        path.write_text(good.replace(before, after, 1))
        with pytest.raises(BadCard, match="was edited after it was recorded"):
            load(path)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (replace(HERE, model="Another CPU"), "its model is Some CPU, here Another CPU"),
        (replace(HERE, cores=64), "its cores are 2, here 64"),
        (replace(HERE, features=("avx2",)), "its features are avx2, avx512f, here avx2"),
        (replace(HERE, device="cuda"), "its device is cpu, here cuda"),
    ],
)
def test_other_hardware_is_refused_and_named(tmp_path: Path, other: Hardware, said: str) -> None:
    path = save(card(), tmp_path)
    with pytest.raises(BadCard, match=said):
        verify(path, other)


@pytest.mark.parametrize("lacking", ["weights", "parameters", "dtype"])
def test_a_card_that_does_not_say_which_weights_were_served_does_not_count(
    tmp_path: Path, lacking: str
) -> None:
    path = save(card(), tmp_path)
    data = json.loads(path.read_text())
    del data["checksum"], data[lacking]
    path.write_text(signed(data))
    assert load(path).slowness == 4.0, "it can be looked at"
    with pytest.raises(BadCard, match="does not say which weights the engine served"):
        verify(path, HERE)
    found, (why,) = find("vllm", MEASURE, HERE, (tmp_path,))
    assert found is None and "does not say which weights" in why


@pytest.mark.parametrize(
    "changed",
    [{"weights": "0" * 64}, {"parameters": 20_000_000}, {"dtype": "bfloat16"}],
    ids=lambda each: min(each),
)
def test_a_card_made_with_other_weights_does_not_count(
    tmp_path: Path, changed: dict[str, object]
) -> None:
    with pytest.raises(BadCard, match="was recorded with other weights than waiter has today"):
        verify(save(card(**changed), tmp_path), HERE)


def test_a_card_of_a_made_model_that_was_recorded_with_anothers_weights_does_not_count(
    tmp_path: Path,
) -> None:
    trace = workload("ragged", 1, model="random:5m", scale=SCALE).hash
    made = card(model="random:5m", samples=(Sample(1, trace, 3.0, 1.0),))
    with pytest.raises(BadCard, match="was recorded with other weights than random:5m has today"):
        verify(save(made, tmp_path), HERE)
    good = replace(made, **of_model("random:5m").as_json())
    assert verify(save(good, tmp_path), HERE) == good


def test_a_workload_that_is_drawn_otherwise_today_voids_the_card(tmp_path: Path) -> None:
    old = card(samples=(Sample(1, "0" * 16, 3.0, 1.0),))
    with pytest.raises(BadCard, match="other requests than 'ragged' draws today"):
        verify(save(old, tmp_path), HERE)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"format": 2}', '{"format": 1}', '{"format": 1, "checksum": "no"}', "\x00"],
)
def test_what_is_no_card_is_refused_in_a_sentence(tmp_path: Path, text: str) -> None:
    path = tmp_path / "vllm-ragged.json"
    path.write_text(text)
    with pytest.raises(BadCard, match=r"vllm-ragged\.json"):
        load(path)


def signed(data: dict[str, object]) -> str:
    return json.dumps({**data, "checksum": baselines._checksum(data)})


@pytest.mark.parametrize("field", ["samples", "hardware", "date", "verified"])
def test_a_card_that_lacks_something_is_refused_even_with_a_right_checksum(
    tmp_path: Path, field: str
) -> None:
    path = save(card(), tmp_path)
    data = json.loads(path.read_text())
    del data["checksum"], data[field]
    path.write_text(signed(data))
    with pytest.raises(BadCard, match=f"is no baseline card: it lacks {field}"):
        load(path)


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (("engine",), 7, "engine is 7; it must be a text"),
        (("date",), None, "date is null; it must be a text"),
        (("model",), ["waiter"], "model is .* must be a text"),
        (("scale",), "1", 'scale is "1"; it must be a finite number above 0'),
        (("scale",), True, "scale is true; it must be"),
        (("scale",), float("inf"), "scale is inf; it must be"),
        (("scale",), 10**400, "scale is 10+…; it must be"),
        (("flags",), [], r"flags is \[\]; it must be a table"),
        (("verified",), "yes", 'verified is "yes"; it must be true or false'),
        (("colour",), "red", "nobody knows colour; use engine, version"),
        (("samples",), [], r"samples is \[\]; it must be a list with something in it"),
        (("samples",), {}, "samples is {}; it must be a list"),
        (("samples", 1), 3, r"samples\[1\] is 3; it must be a table"),
        (("samples", 1, "seed"), 1.5, r"samples\[1\].seed is 1.5; it must be a whole number"),
        (
            ("samples", 0, "engine_seconds"),
            0.0,
            r"samples\[0\].engine_seconds is 0.0; it must be a finite number",
        ),
        (
            ("samples", 2, "reference_seconds"),
            float("nan"),
            r"samples\[2\].reference_seconds is nan; it must be",
        ),
        (("samples", 2, "colour"), 1, r"in samples\[2\] nobody knows colour"),
        (("hardware",), "a PC", 'hardware is "a PC"; it must be a table'),
        (("hardware", "cores"), "two", 'hardware.cores is "two"; it must be a whole number'),
        (("hardware", "features"), "avx2", 'hardware.features is "avx2"; it must be a list'),
        (("hardware", "features"), [2], "hardware.features is 2; it must be a text"),
    ],
)
def test_a_value_of_another_type_is_named_even_with_a_right_checksum(
    tmp_path: Path, place: tuple[str | int, ...], value: object, said: str
) -> None:
    path = save(card(), tmp_path)
    data = json.loads(path.read_text())
    del data["checksum"]
    inner = data
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    path.write_text(signed(data))
    with pytest.raises(BadCard, match=said):
        load(path)


@pytest.mark.parametrize("depth", [900, 100_000])
def test_a_file_nested_too_deeply_is_refused_in_a_sentence(tmp_path: Path, depth: int) -> None:
    path = tmp_path / "deep.json"
    path.write_text('{"format": 1, "checksum": "", "flags": ' + "[" * depth + "]" * depth + "}")
    with pytest.raises(BadCard, match=r"deep\.json (is no baseline card|was edited)"):
        load(path)


def test_what_was_never_signed_is_not_said_to_be_edited(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text('{"format": 1}')
    with pytest.raises(BadCard, match=r"mine\.json has no checksum"):
        load(path)
    path.write_bytes(b"\xff")
    with pytest.raises(BadCard, match=r"mine\.json is no UTF-8 text"):
        load(path)


def test_the_first_folder_with_a_card_that_counts_wins(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    save(card(version="1"), first)
    save(card(version="2"), second)
    found, why = find("vllm", MEASURE, HERE, (first, second))
    assert found is not None and found.version == "1" and not why
    (next(first.iterdir())).write_text("{}")
    found, why = find("vllm", MEASURE, HERE, (first, second))
    assert found is not None and found.version == "2"
    assert why == (f"…/a/{card().file_name} does not count: it is no baseline card of format 1",)


def test_an_edited_card_in_front_of_the_one_that_counts_is_named_under_whatever_name(
    tmp_path: Path,
) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    path = save(card(), first)
    path.write_text(path.read_text().replace("0.32.0", "0.33.0"))
    save(card(), second)
    for name in (path.name, "best.json"):
        path = path.rename(first / name)
        found, (why,) = find("vllm", MEASURE, HERE, (first, second))
        assert found == card() and why.startswith(f"…/a/{name} does not count: it was edited")
    others = (replace(MEASURE, scale=1.0), replace(MEASURE, workload="arrivals"))
    assert all(
        find("vllm", each, HERE, (first, second)) == (None, ("there is no card",))
        for each in others
    )


def test_cards_of_other_machines_in_the_folder_of_the_one_that_counts_are_no_news(
    tmp_path: Path,
) -> None:
    first, second, foreign = tmp_path / "a", tmp_path / "b", replace(HERE, cores=64)
    for machine in (HERE, foreign):
        save(card(hardware=machine), second)
    assert find("vllm", MEASURE, HERE, (second,)) == (card(), ())
    save(card(hardware=foreign), first)
    found, (why,) = find("vllm", MEASURE, HERE, (first, second))
    assert found == card() and "…/a/" in why and "is from other hardware" in why


def test_the_figure_says_which_card_does_not_count_beside_the_one_that_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = save(card(hardware=here()), tmp_path / "own")
    own.write_text(own.read_text().replace("0.32.0", "0.33.0"))
    save(card(hardware=here()), tmp_path / "shipped")
    monkeypatch.setattr(baselines, "SHIPPED", tmp_path / "shipped")
    monkeypatch.setattr(opponents, "_installed", lambda engine: None)
    context: Any = SimpleNamespace(beside=None, live=False)

    def how(named: Path) -> str:
        monkeypatch.setenv(baselines.VARIABLE, str(named))
        with ExitStack() as stack:
            opponent = opponents.standing("vllm", MEASURE, context, stack)
        assert opponent.measured
        return opponent.how

    assert f"…/own/{own.name} does not count: it was edited after it was recorded" in how(
        tmp_path / "own"
    )
    assert how(own) == f"through its card ($COURSE_BASELINES names {own}, which is no folder)"
    assert how(tmp_path / "shipped") == "through its card"


def test_why_there_is_no_card_is_said(tmp_path: Path) -> None:
    assert find("vllm", MEASURE, HERE, (tmp_path,)) == (None, ("there is no card",))
    save(card(), tmp_path)
    save(card(hardware=replace(HERE, cores=16)), tmp_path)
    found, (why,) = find("vllm", MEASURE, replace(HERE, cores=8), (tmp_path,))
    assert found is None and "from other hardware" in why
    assert find("vllm", replace(MEASURE, scale=1.0), HERE, (tmp_path,))[0] is None
    assert find("vllm", replace(MEASURE, model="waiter@20m"), HERE, (tmp_path,))[0] is None
    assert find("sglang", MEASURE, HERE, (tmp_path,)) == (None, ("there is no card",))


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"verified": False}, "without a look at the tokens"),
        ({"model": "/no/such/folder"}, "on something that is not there today"),
        ({"workload": "of_old"}, "on something that is not there today"),
    ],
)
def test_a_card_without_tokens_model_or_workload_does_not_count(
    tmp_path: Path, changed: dict[str, object], why: str
) -> None:
    made = card(**changed)
    path = save(made, tmp_path)
    with pytest.raises(BadCard, match=why):
        verify(path, HERE)
    measure = replace(MEASURE, model=made.model, workload=made.workload)
    found, (told,) = find("vllm", measure, HERE, (tmp_path,))
    assert found is None and why in told
    if made.verified:
        assert find("vllm", MEASURE, HERE, (tmp_path,)) == (None, ("there is no card",)), (
            "it is of something else"
        )


def test_cards_of_other_machines_or_sizes_lie_side_by_side() -> None:
    names = {
        card().file_name,
        card(scale=1.0).file_name,
        card(hardware=replace(HERE, cores=8)).file_name,
    }
    assert len(names) == 3
    assert card(version="9").file_name == card().file_name


def test_a_card_that_does_not_tell_of_a_feature_is_not_of_another_machine_for_it(
    tmp_path: Path,
) -> None:
    narrow = replace(HERE, features=("avx2", "avx512f", "avx512_vnni"), examined=("avx512_vnni",))
    without = replace(HERE, examined=("avx512_vnni",))
    old = save(card(), tmp_path)
    assert "examined" not in old.read_text()
    assert verify(old, narrow) == verify(old, without) == card()
    assert narrow.difference(HERE) == HERE.difference(narrow) == ""
    assert (
        narrow.difference(without)
        == "its features are avx2, avx512f, here avx2, avx512f, avx512_vnni"
    )
    assert Hardware.from_json(json.loads(json.dumps(narrow.to_json()))) == narrow


def test_a_card_takes_the_place_of_one_that_tells_less_of_the_same_machine(tmp_path: Path) -> None:
    narrow = replace(HERE, features=("avx2", "avx512f", "avx512_vnni"), examined=("avx512_vnni",))
    others = [
        save(card(hardware=replace(HERE, cores=8)), tmp_path),
        save(card(scale=1.0), tmp_path),
    ]
    save(card(version="1"), tmp_path)
    now = save(card(version="2", hardware=narrow), tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([now, *others])
    beside = save(card(version="3", hardware=replace(HERE, examined=("avx512_vnni",))), tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([now, beside, *others])


def test_a_card_from_beside_another_reference_engine_says_so() -> None:
    assert not card().stale()
    assert "another version" in card(reference="0" * 12).stale()


def test_this_machine_is_a_class_that_can_be_stored() -> None:
    machine = here()
    assert machine.cores >= 1 and machine.model
    assert Hardware.from_json(json.loads(json.dumps(machine.to_json()))) == machine


def test_shipped_cards_are_whole() -> None:
    for path in baselines.files((baselines.SHIPPED,)):
        assert load(path).verified


def test_what_the_bounds_say_of_the_cards_is_what_the_cards_say() -> None:
    words = " ".join((baselines.SHIPPED.parent / "bounds.toml").read_text().split())
    shipped = [
        load(path)
        for path in baselines.files((baselines.SHIPPED,))
        if path.name.startswith("vllm-")
    ]
    pairs = re.findall(r'([0-9.]+ [^,"]*\([^)]*\)) on "(\w+)"', words.replace("# ", ""))
    told = {name: set(re.findall(r"\d+\.\d", figures)) for figures, name in pairs}
    assert set(told) == {each.workload for each in shipped}
    for name, figures in told.items():
        assert figures == {f"{each.slowness:.1f}" for each in shipped if each.workload == name}


def test_words_in_a_file_do_not_change_its_fingerprint_and_code_does() -> None:
    plain = 'def f(x):\n    return "a" + x  # why\n'
    told = '"""A file."""\n\n\ndef f(x):\n    """Says a."""\n    # because\n    return "a" + x\n'
    assert code(plain) == code(told)
    assert code(plain) != code(plain.replace('"a"', '"b"'))
    assert code("if a:\n    b()\nc()\n") != code("if a:\n    b()\n    c()\n")
    for one, other in (
        ("del x", "delx"),
        ("f(not a)", "f(nota)"),
        ("x = a < 'b'", "x = a < 'c'"),
        ("[None]", "[]"),
    ):
        assert code(one) != code(other)


def test_a_fingerprint_does_not_depend_on_the_version_of_python() -> None:
    """Python 3.12 ends a format with an empty text, 3.13 gives functions a list of type parameters,
    always."""
    tree = ast.parse("def f(x):\n    return f'{x:>{x}}'\n")
    another = ast.parse("def f(x):\n    return f'{x:>{x}}'\n")
    for node in ast.walk(another):
        if isinstance(node, ast.JoinedStr):
            node.values.append(ast.Constant(value=""))
        if isinstance(node, ast.FunctionDef):
            node._fields = (*node._fields, "type_params")  # type: ignore[misc]
            node.type_params = []  # type: ignore[attr-defined, unused-ignore]
    assert told(another) == told(tree)


def test_a_machine_on_which_nothing_is_compiled_is_of_another_class(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fast = replace(here(), features=("avx2", COMPILED))
    monkeypatch.setattr(hardware.library, "library", lambda: None)
    slow = here()
    assert COMPILED not in slow.features and "compiled" in replace(
        slow, features=("avx2",)
    ).difference(fast)
    monkeypatch.setattr(hardware.library, "library", object)
    assert COMPILED in here().features
