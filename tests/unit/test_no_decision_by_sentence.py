"""Prose carries no data: nothing is decided by what a sentence says, in which somebody may change a
word.

Looked for are sentences (a space and a word in small letters) and the arrows of stories where text
is compared, searched or taken apart. What is read so from outside, from another program or a file
of fixed form, is listed with its reason.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest
from source_tree import modules, tree

SENTENCE = re.compile(r"(?:^|\s)[a-z]{2,}\s|\s[a-z]{2,}(?:\W|$)")
ARROW = re.compile(r"\s->\s?")
METHODS = {
    "startswith", "endswith", "partition", "rpartition", "split", "rsplit", "find", "index", "count",
    "removeprefix", "removesuffix", "replace",
}  # fmt: skip
FORM, OTHERS, CODE = (
    "a mark of a file of ours",
    "another program's words",
    "a code of ours that nobody reads as a sentence",
)
ALLOWED = {
    (
        "course.exercise_text.questions",
        r"^## Question \((?P<points>\d+) points\)\n(?P<text>.*?)^### A good answer\n(?P<answer>.*?)(?=^## |\Z)",
    ): FORM,
    ("graders.submissions.submission_reader", r"^# Explain it back: ((?:exercise|lab) \d+)"): FORM,
    ("course.certificate", '<script type="application/json" id="verdicts">(.*?)</script>'): FORM,
    ("course.authoring.obfuscate", 'raise NotImplementedError("your code'): FORM,
    (
        "graders.checking.diagnosis",
        r"(?:'(\w+)' object|module '\w+') has no attribute '(\w+)'",
    ): OTHERS,  # Python's, for advice
    (
        "graders.engines.driver",
        "No module named|ImportError|cannot open shared object|undefined symbol|init_fs_encoding",
    ): OTHERS,  # the loader's, on an engine's standard error
    ("graders.engines.lock_file", "# python:"): FORM,
    ("graders.exercises.ex1_paged_allocation.constant_time", " of "): FORM,
    (
        "course.race.readme_table",
        r"<!-- race (?P<name>\S+): [^>]*-->\n.*?<!-- end of race -->",
    ): FORM,
    (
        "graders.throughput.sensitivity",
        ", speed beside the reference",
    ): "a figure's name, cut for a narrow table",
    ("reference_engine.processor", "core id"): OTHERS,  # /proc/cpuinfo
    (
        "reference_engine.peers.reasons",
        r"Traceback \(most recent call last\):\s*$",
    ): OTHERS,  # Python's
    (
        "graders.sandbox.isolation.process",
        "out of memory",
    ): CODE,  # of the supervisor, in the same words in its file
    ("reference_engine.waiter.corpus", "the "): "a corpus is text",
    (
        "course.window.story_film",
        " -> ",
    ): "a story is drawn again, call and answer apart; what cannot be read is told",
    ("reference_engine.waiter.corpus", r"(\d+) euros"): "a corpus is text",
    ("reference_engine.waiter.corpus", r"(\d+) minutes"): "a corpus is text",
    ("reference_engine.waiter.corpus", r"table (\d+)"): "a corpus is text",
}


def literals(node: ast.expr, constants: dict[str, list[str]]) -> list[str]:
    """The texts that an expression stands for: its own, those in a tuple, and those of a constant
    of its module."""
    if isinstance(node, ast.Name):
        return constants.get(node.id, [])
    whole = isinstance(node, ast.Tuple | ast.List | ast.Set | ast.JoinedStr | ast.Constant)
    values = (
        [part.value for part in ast.walk(node) if isinstance(part, ast.Constant)] if whole else []
    )
    return [_text(value) for value in values if isinstance(value, str | bytes)]


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("latin-1")


def constants(module: ast.Module) -> dict[str, list[str]]:
    """The texts of a module's constants, by name."""
    found: dict[str, list[str]] = {}
    for node in module.body:
        if (
            isinstance(node, ast.Assign)
            and len(node.targets) == 1
            and isinstance(node.targets[0], ast.Name)
        ):
            found[node.targets[0].id] = literals(node.value, {})
    return found


def compared(node: ast.AST) -> list[ast.expr]:
    """The expressions that a node compares text with, looks for in it, or takes it apart by."""
    if isinstance(node, ast.Compare):
        kinds = (ast.Eq, ast.NotEq, ast.In, ast.NotIn)
        return (
            [node.left, *node.comparators] if any(isinstance(op, kinds) for op in node.ops) else []
        )
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
        return []
    of_re = isinstance(node.func.value, ast.Name) and node.func.value.id == "re"
    return node.args[:1] if of_re or node.func.attr in METHODS else []


def decisions(module: ast.Module) -> Iterator[str]:
    """The sentences by which a module decides something."""
    known = constants(module)
    for node in ast.walk(module):
        for each in compared(node):
            yield from (
                text
                for text in literals(each, known)
                if SENTENCE.search(text) or ARROW.search(text)
            )


def test_nothing_is_decided_by_a_sentence() -> None:
    found = {(module, text) for module in modules() for text in decisions(tree(module))}
    assert sorted(found - set(ALLOWED)) == []


def test_what_is_allowed_is_still_there() -> None:
    found = {(module, text) for module in modules() for text in decisions(tree(module))}
    assert set(ALLOWED) <= found


@pytest.mark.parametrize(
    "code",
    [
        'message.endswith("is not written yet.")',
        'END = "is not written yet."\nmessage.endswith(END)',
        'step.partition(" -> ")',
        'if "no cell" not in problem: ...',
        'problem.startswith("Not graded")',
        'problem.startswith(("No part", "x"))',
        're.compile(r"(?:in|,) in line (\\d+)")',
        're.search("has a syntax error", text)',
        'text == "nothing was handed in"',
        'line.replace("The part sleeps", "it sleeps")',
    ],
)
def test_decisions_by_a_sentence_are_found(code: str) -> None:
    assert list(decisions(ast.parse(code)))


@pytest.mark.parametrize(
    "code",
    [
        'name.endswith(".py")',
        'key in ("laws", "engine")',
        'raise Broken("it is not written yet")',
        'kind == "x"',
    ],
)
def test_other_texts_are_none(code: str) -> None:
    assert not list(decisions(ast.parse(code)))
