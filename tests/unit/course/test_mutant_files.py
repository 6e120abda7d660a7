"""Mutants are edits of a right part: what they become; whatever does not fit is said loudly, with
its place."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from wrong_parts import right_parts, wrong_parts

from course.authoring.mutant_files import Mutant, code_of, mutants
from course.errors import Problem
from graders.registry.catalogue import catalogue

EXERCISE = catalogue(1)
FILE = "tests/mutants/ex1/sharing.mutants"
BASE = '''"""Right: one.

Two.
"""

def one():
    return 1


def two():
    # again
    return 2
    # again
'''
FIRST = """law: sharing

## other (from base)
wrong: one is 3.
says: must .*
<<<<
    return 1
====
    return 3
>>>>
"""  # 10 lines


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    for folder in ("tests/mutants/ex1", "tests/bases/ex1"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "tests/bases/ex1/base.py").write_text(BASE, encoding="utf-8")
    return tmp_path


def read(clone: Path, text: str) -> list[Mutant]:
    (clone / FILE).write_text(text, encoding="utf-8")
    return mutants(EXERCISE, clone)


def test_a_mutant_is_its_base_edited_with_a_docstring_that_tells(clone: Path) -> None:
    (mutant,) = read(clone, FIRST)
    assert (mutant.name, mutant.laws, mutant.says, mutant.where) == (
        "other",
        ("sharing",),
        "must .*",
        f"{FILE}:3",
    )
    docstring = '"""Wrong: one is 3.\n\nLaw: sharing.\nSays: must .*\n"""\n'
    assert mutant.text == docstring + BASE.split('"""\n', 1)[1].replace("return 1", "return 3")
    assert mutant.write(clone).read_text(encoding="utf-8") == mutant.text
    assert mutant.write(clone).name == "other.py"


def test_a_mutant_may_name_the_public_report_that_it_is_made_after(clone: Path) -> None:
    (mutant,) = read(clone, FIRST.replace("says: must .*", "after: vllm-project/vllm#1556"))
    assert (mutant.after, mutant.says) == ("vllm-project/vllm#1556", "")
    assert "After: vllm-project/vllm#1556\n" in mutant.text


def test_a_docstring_holds_a_regular_expression_as_it_is(clone: Path) -> None:
    (mutant,) = read(clone, FIRST.replace("must .*", r"\d+ due\."))
    assert "Says: \\d+ due\\." in (ast.get_docstring(ast.parse(mutant.text)) or "")


def test_edits_are_found_in_the_base_whatever_their_order_and_what_others_put_there(
    clone: Path,
) -> None:
    edits = [
        ("    return 2", "    return 1"),
        ("    return 1", "    return 2\n    return 2"),
        ("def two():", ""),
    ]
    blocks = [f"<<<<\n{old}\n====\n{new}{chr(10) if new else ''}>>>>\n" for old, new in edits]
    (mutant,) = read(clone, f"law: sharing\n## other (from base)\nwrong: all.\n\n{''.join(blocks)}")
    expected = (
        "\ndef one():\n    return 2\n    return 2\n\n\n    # again\n    return 1\n    # again\n"
    )
    assert mutant.code == expected


def test_a_mutant_names_laws_of_its_own_and_all_come_sorted(clone: Path) -> None:
    second = FIRST.replace("other", "another").replace(
        "wrong: one is 3.", "wrong: it.\nlaw: watermark|refusals"
    )
    found = read(clone, FIRST + second.removeprefix("law: sharing\n"))
    assert [(mutant.name, mutant.laws) for mutant in found] == [
        ("another", ("watermark", "refusals")),
        ("other", ("sharing",)),
    ]


def test_the_solution_is_a_base_too(clone: Path) -> None:
    folder = clone / "solutions" / EXERCISE.slug
    folder.mkdir(parents=True)
    (folder / EXERCISE.file_name).write_text("def one():\n    return 1\n", encoding="utf-8")
    (mutant,) = read(clone, FIRST.replace("(from base)", "(from solution)"))
    assert mutant.code == "def one():\n    return 3\n"


@pytest.mark.parametrize(
    ("old", "new", "place", "says"),
    [
        ("    return 1\n", "    return 7\n", 6, "this search text is not in base"),
        ("    return 1\n", "return 1\n", 6, "this search text is not in base"),
        ("    return 1\n", "", 6, "this search text is not in base"),
        ("    return 1\n", "    # again\n", 6, "this search text is more than once in base"),
        ("    return 3\n", "    return 1\n", 3, "other is base unchanged"),
        ("(from base)", "(from nowhere)", 3, "there is no base nowhere of exercise 1"),
        ("(from base)", "from base", 3, "`## name (from base)` is due here, or <<<<"),
        ("wrong: one is 3.\n", "", 3, "other lacks the sentence `wrong: …`"),
        (
            "wrong: one is 3.\n",
            "wrong: one.\nwrong: two.\n",
            5,
            "there is no place for this `wrong`",
        ),
        ("wrong: one", "wrnog: one", 4, "there is no place for this `wrnog`"),
        ("law: sharing", "wrong: all", 1, "there is no place for this `wrong`"),
        ("law: sharing", "law: sharing|shraing", 3, "exercise 1 has no law 'shraing'"),
        ("law: sharing\n", "", 2, "exercise 1 has no law ''"),
        ("must .*", "must (", 3, "what other `says` is no regular expression"),
        ("====\n", "", 6, "this edit has no ==== where it should"),
        (">>>>\n", "", 6, "this edit has no >>>> where it should"),
        (
            ">>>>\n",
            ">>>>\n<<<<\ndef one():\n    return 1\n====\n>>>>\n",
            6,
            "and that of line 11 change the same lines",
        ),
        (">>>>\n", ">>>>\nreturn 4\n", 11, "`## name (from base)` is due here, or <<<<"),
        (">>>>\n", f">>>>\n{FIRST[14:]}", 11, f"the name other is taken by {FILE}:3"),
    ],
)
def test_what_does_not_fit_is_said_with_its_place(
    clone: Path, old: str, new: str, place: int, says: str
) -> None:
    assert FIRST.count(old) == 1
    with pytest.raises(Problem) as caught:
        read(clone, FIRST.replace(old, new))
    message = str(caught.value)
    assert message.startswith(f"{FILE}:{place}: ")
    assert says in message


def test_a_name_is_given_once_in_all_files_of_an_exercise(clone: Path) -> None:
    (clone / FILE).with_name("refusals.mutants").write_text(FIRST, encoding="utf-8")
    with pytest.raises(
        Problem, match=r"the name other is taken by tests/mutants/ex1/refusals\.mutants:3"
    ):
        read(clone, FIRST)


def test_a_base_that_is_no_python_is_named(clone: Path) -> None:
    (clone / "tests/bases/ex1/base.py").write_text("def one(:\n", encoding="utf-8")
    with pytest.raises(Problem, match="the base base cannot be read"):
        read(clone, FIRST)


@pytest.mark.parametrize("text", ["one = 1\n", "", '1 + 1\n"""no docstring"""\n', "1\n"])
def test_without_a_docstring_all_of_a_module_is_code(text: str) -> None:
    assert code_of(text) == text


@pytest.mark.parametrize("exercise", [1, 2, 3, 4])
def test_every_mutant_of_the_project_is_python_and_none_is_a_right_part(exercise: int) -> None:
    parts = wrong_parts(exercise)
    right = {code_of(path.read_text(encoding="utf-8")) for path in right_parts(exercise)}
    assert len(parts) > 100
    assert [part.name for part in parts if part.code in right] == []
    for part in parts:
        ast.parse(part.text)
