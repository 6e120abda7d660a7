"""Lines of stories as Python: what went over the wire is what a script hands over."""

from __future__ import annotations

import ast

import pytest
import torch

from graders.checking.failure import Step
from graders.checking.wire_tensors import Array, sent
from graders.exercises.ex3_prefix_cache.operations import PrefixCacheCall
from graders.exercises.ex4_medusa.specification import PathTree
from graders.exercises.ex4_medusa.wire_tensors import python, sent_tree
from reference_engine.slots import Verdict

TREE = sent_tree(PathTree.of([(0,), (1,)]))


def made(words: list[str]) -> list[object]:
    names = {"torch": torch, "Verdict": Verdict, "nan": float("nan"), "inf": float("inf")}
    return [eval(word, names) for word in words]


def test_tensors_come_back_with_dtype_shape_and_odd_values() -> None:
    logits = [[[0.5, float("nan")], [float("-inf"), 1.0], [0.0, 2.0]]]
    _, tokens, rows, *_ = words = python(
        "verify_greedy", [TREE, sent("int64", [[5, 6, 7]]), sent("float32", logits)]
    )
    assert words[0] == "tree"
    there = made([tokens, rows])
    assert isinstance(there[0], torch.Tensor) and there[0].tolist() == [[5, 6, 7]]
    assert isinstance(there[1], torch.Tensor) and there[1].dtype is torch.float32
    assert torch.equal(there[1].nan_to_num(9), torch.tensor(logits).nan_to_num(9))


def test_an_empty_batch_keeps_its_shape() -> None:
    (tensor,) = made(
        python("verify_greedy", [TREE, sent("int64", [], (0, 3)), sent("int64", [], (0, 3))])[1:2]
    )
    assert isinstance(tensor, torch.Tensor) and tensor.shape == (0, 3)


def test_a_verdict_a_rule_and_a_generator_are_written_as_a_caller_would() -> None:
    verdict = [sent("int64", [1]), sent("int64", [[0, 2]]), sent("int64", [9])]
    there, _ = made(python("compact", [verdict, sent("int64", [[4, 5, 6]])]))
    assert isinstance(there, Verdict) and there.nodes.tolist() == [[0, 2]]
    rule = {"temperature": 0.7, "epsilon": 0.3, "delta": 0.6}
    words = python(
        "verify_typical", [TREE, sent("int64", [[1]]), sent("float32", [[[0.0]]]), rule, [3, 0], 0]
    )
    assert words[3:] == [
        "temperature=0.7",
        "epsilon=0.3",
        "delta=0.6",
        "generator=torch.Generator().manual_seed(3)",
    ]


def test_a_caller_who_empties_its_lists_does_so_in_the_script() -> None:
    move = PrefixCacheCall("insert", (1, 2), (7,), "a", 3, clears=True)
    lines = move.code("cache").split("\n")
    assert lines[2] == "answer = cache.insert(tokens, blocks, namespace='a')"
    assert lines[3:] == ["tokens.clear()", "blocks.clear()"]
    assert PrefixCacheCall("unlock", handle=1).code("cache") == "answer = cache.unlock(line_3.node)"


@pytest.mark.parametrize(
    ("raised", "last", "begins"), [(True, False, "try:"), (True, True, "x"), (False, False, "x")]
)
def test_what_raised_goes_on_unless_it_is_the_end(raised: bool, last: bool, begins: str) -> None:
    code = Step("x()", code="x()", raised=raised).script(last=last)
    ast.parse(code)
    assert code.startswith(begins)
    assert Step("in words", code="plan of three").script(last=last) == ""


def test_numbers_that_json_lacks_are_told_as_python_has_them() -> None:
    assert str(Array("float32", (2,), [{"s": "nan"}, 0.5])) == "[nan, 0.5]"
