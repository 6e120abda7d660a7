"""Workloads: what every trace of a family promises, that the seed decides, and that no two
repetitions are alike."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from graders.workloads import (
    BLOCK_SIZE,
    FAMILIES,
    GUESSES,
    NAMES,
    SPECIALS,
    STRETCHED,
    Trace,
    workload,
)

SMALL = 0.25


@pytest.fixture(scope="module")
def traces() -> dict[str, Trace]:
    return {name: workload(name, 5, scale=SMALL) for name in NAMES}


@pytest.mark.parametrize("model", ["waiter", "random:tiny"])
@pytest.mark.parametrize("name", NAMES)
def test_lengths_keep_within_the_family_and_everybody_fits(name: str, model: str) -> None:
    trace, family = workload(name, 11, model=model, scale=SMALL), FAMILIES[name]
    for request in trace.requests:
        spans = [family.answers, *([family.long] if family.long else [])]
        assert any(low <= request.max_new <= high for low, high in spans)
        assert len(request.prompt) <= family.prompts[1]
        assert len(request.prompt) >= min(family.prompts[0], 420)
    assert trace.longest <= trace.kv_tokens
    assert trace.longest <= 1024, "the waiter's context"
    assert all(
        token >= (0 if model == "waiter" else SPECIALS)
        for each in trace.requests
        for token in each.prompt
    )


@pytest.mark.parametrize("name", NAMES)
def test_one_seed_one_trace_and_another_seed_another_one(
    name: str, traces: dict[str, Trace]
) -> None:
    assert workload(name, 5, scale=SMALL) == traces[name]
    assert workload(name, 5, scale=SMALL).hash == traces[name].hash
    other = workload(name, 6, scale=SMALL)
    assert other.hash != traces[name].hash
    assert not {each.prompt for each in other.requests} & {
        each.prompt for each in traces[name].requests
    }


def test_a_trace_is_the_same_in_another_process(traces: dict[str, Trace]) -> None:
    code = (
        "from graders.workloads import workload; print(workload('everything', 5, scale=0.25).hash)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == traces["everything"].hash


def test_ragged_lengths_differ_and_memory_holds_a_few_of_them_only(
    traces: dict[str, Trace],
) -> None:
    trace = traces["ragged"]
    lengths = [len(each.prompt) + each.max_new for each in trace.requests]
    assert max(lengths) > 2 * min(lengths)
    assert sum(lengths) > 2 * trace.kv_tokens


def test_arrivals_follow_one_another_as_the_family_says() -> None:
    trace = workload("arrivals", 1)
    times = [each.arrival for each in trace.requests]
    assert times[0] == 0 and times == sorted(times) and len(set(times)) == len(times)
    assert times[-1] / (len(times) - 1) == pytest.approx(FAMILIES["arrivals"].gap, rel=0.5)


def test_some_of_those_who_arrive_stay_long() -> None:
    answers = [each.max_new for each in workload("arrivals", 1).requests]
    assert sum(answer >= 80 for answer in answers) == len(answers) // 4
    assert len(answers) >= 4 * workload("arrivals", 1).max_seqs


def test_all_at_once_where_nobody_arrives(traces: dict[str, Trace]) -> None:
    assert {each.arrival for each in traces["ragged"].requests} == {0.0}


def shared(trace: Trace) -> int:
    first, *rest = (each.prompt for each in trace.requests)
    return min(
        next(
            (at for at, (a, b) in enumerate(zip(first, other, strict=False)) if a != b), len(other)
        )
        for other in rest
    )


def test_everybody_at_the_same_menu_opens_alike_and_nobody_else_does(
    traces: dict[str, Trace],
) -> None:
    menu, nothing = traces["shared_menu"], traces["nothing_shared"]
    assert menu.shared and menu.cached and shared(menu) > 400
    assert not nothing.shared and nothing.cached
    openings = [each.prompt[:BLOCK_SIZE] for each in nothing.requests]
    assert len(set(openings)) == len(openings), "not even the first block may be common"
    random = workload("shared_menu", 5, model="random:tiny", scale=SMALL)
    assert shared(random) > 400


@pytest.mark.parametrize("batch", [1, 4, 16])
def test_predictable_talk_decodes_so_many_at_a_time(batch: int, traces: dict[str, Trace]) -> None:
    trace = traces[f"predictable_talk_{batch}"]
    assert trace.batch == trace.max_seqs == batch
    assert len({each.max_new for each in trace.requests}) == 1


def test_dialogues_are_what_the_waiter_reads() -> None:
    from reference_engine.waiter import CHECKPOINT
    from reference_engine.waiter.tokenizer import load_tokenizer

    text = load_tokenizer(CHECKPOINT).decode(
        list(workload("shared_menu", 2, scale=SMALL).requests[0].prompt)
    )
    assert text.startswith("This is the menu of") and text.endswith("Waiter:")


def test_a_checkpoint_folder_gives_its_vocabulary(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(
        json.dumps({"vocab_size": 10, "max_position_embeddings": 2048})
    )
    trace = workload("ragged", 0, model=str(tmp_path), scale=SMALL)
    assert {token for each in trace.requests for token in each.prompt} == set(range(SPECIALS, 10))


@pytest.mark.parametrize(
    ("name", "keywords", "said"),
    [
        ("raged", {}, "no workload called 'raged'"),
        ("ragged", {"scale": 0.0}, "a scale of 0 is no share .* a finite number above 0"),
        ("ragged", {"scale": -1.0}, "a scale of -1 is no share"),
        ("ragged", {"scale": float("nan")}, "a scale of nan is no share"),
        ("ragged", {"scale": float("inf")}, "a scale of inf is no share"),
        (
            "ragged",
            {"scale": 1e9},
            r"a scale of 1e\+09 makes more than 100,000 requests: 1,562 is the most",
        ),
        ("ragged", {"model": "random:huge"}, "no shape is called 'huge': choose one of tiny"),
        ("ragged", {"model": "random:tiny@once"}, "'random:tiny@once' has no seed after the @"),
        (
            "ragged",
            {"model": "waiter@huge"},
            "the waiter has no shape called 'huge': choose one of 5m, 20m",
        ),
        ("ragged", {"model": "nowhere"}, "no model is called 'nowhere': use waiter, waiter@SHAPE"),
        ("ragged", {"model": "no\0where"}, "no model is called"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_a_sentence(
    name: str, keywords: dict[str, object], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        workload(name, 0, **keywords)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "cannot be read: No such file"),
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "lacks a whole number vocab_size above 3"),
        ('{"vocab_size": "many"}', "lacks a whole number vocab_size above 3"),
        ('{"vocab_size": 10}', "lacks a whole number max_position_embeddings"),
    ],
)
def test_a_folder_without_the_sizes_of_a_model_is_refused_in_a_sentence(
    tmp_path: Path, text: str | None, said: str
) -> None:
    if text is not None:
        (tmp_path / "config.json").write_text(text)
    with pytest.raises(ValueError, match=rf"config\.json {said}"):
        workload("ragged", 0, model=str(tmp_path))


def test_the_waiter_stretches_to_the_shapes_that_are_offered_and_to_no_others() -> None:
    from reference_engine.embed_in_larger import STRETCHES, stretched_config
    from reference_engine.llama.config import SHAPES
    from reference_engine.llama.weights import ModelError, read_config
    from reference_engine.waiter import CHECKPOINT

    small, fitting = read_config(CHECKPOINT), set[str]()
    for name, shape in {**SHAPES, **STRETCHES}.items():
        with suppress(ModelError):
            stretched_config(small, shape)
            fitting.add(name)
    assert set(STRETCHED) == fitting


def test_a_context_that_is_too_short_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(
        json.dumps({"vocab_size": 10, "max_position_embeddings": 256})
    )
    with pytest.raises(ValueError, match="context of 256 tokens"):
        workload("ragged", 0, model=str(tmp_path))


def test_no_torch_is_needed() -> None:
    code = (
        "import sys; from graders.workloads import workload; workload('everything', 1, scale=0.1); "
        "workload('ragged', 1, model='random:tiny'); print('torch' in sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "False"


def test_our_engine_leaves_room_to_grow_into_and_never_so_much_that_a_request_does_not_fit() -> (
    None
):
    roomy = workload("ragged", 1)
    assert roomy.watermark == roomy.num_blocks // 16 > 0
    needed = -(-(roomy.longest + GUESSES) // roomy.block_size)
    for spare in range(-1, 40):
        tight = replace(roomy, num_blocks=needed + spare)
        assert tight.watermark == max(0, min(tight.num_blocks // 16, spare - 1))
