"""A number in a result is a plain int: a bool or an integer of numpy is none, even where it is
equal."""

from __future__ import annotations

from pathlib import Path

import pytest
from killing_laws import in_this_process

import solutions
from graders import grade
from graders.registry.catalogue import catalogue

EQUAL = {
    "bool": "bool(number) if number in (0, 1) else number",
    "numpy": "numpy.int64(number)",
    "int": "int(number)",
}
RETURNING = {
    1: ("BlockManager", "blocks_needed", "1.1"),
    2: ("Scheduler", "commit", "2.1"),
    3: ("PrefixCache", "evict", "3.5"),
}
CHANGED = """

import numpy

def changed(number):
    return {equal}

def answering(call):
    def answer(*given, **named):
        found = call(*given, **named)
        return [changed(each) for each in found] if type(found) is list else changed(found)
    return answer

{name}.{call} = answering({name}.{call})
"""


@pytest.mark.parametrize("exercise", RETURNING)
@pytest.mark.parametrize("kind", EQUAL)
def test_only_a_plain_int_is_a_number_of_a_result(exercise: int, kind: str, tmp_path: Path) -> None:
    entry, (name, call, number) = catalogue(exercise), RETURNING[exercise]
    right = Path(solutions.__path__[0], entry.slug, entry.file_name).read_text()
    part = tmp_path / entry.file_name
    part.write_text(right + CHANGED.format(equal=EQUAL[kind], name=name, call=call))
    with in_this_process():
        result = grade(exercise, part, seed=0, only=[number])
    law = next(law for law in result.laws if law.number == number)
    assert law.outcome.failed == (kind != "int"), law.message
    assert kind == "int" or call in law.message
