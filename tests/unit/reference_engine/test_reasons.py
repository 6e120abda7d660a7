"""The line of an error that says why, by the form of the error alone."""

from __future__ import annotations

from typing import Any

import pytest

from reference_engine.peers import reasons

PYDANTIC = """1 validation error for ModelConfig
  Value error, User-specified max_model_len (4096) is greater than 1024. [type=value_error, input_value=Arguments(), x]
    For further information visit https://errors.pydantic.dev/2/v/value_error"""
INDUCTOR = """backend='inductor' raised:
CppCompileError: C++ compile error

Command:
g++ main.cpp

Output:
/tmp/main.cpp:12:7: fatal error: omp.h: No such file or directory
   12 | #include <omp.h>
compilation terminated."""


class Faulty(Exception):
    """As pydantic has it: a list of faults."""

    def errors(self) -> list[dict[str, Any]]:
        return [{"loc": ("max_len",), "msg": "must be below 1024"}, {"loc": (), "msg": "and even"}]


def raised(error: BaseException, cause: BaseException | None = None) -> BaseException:
    """The exception, raised from its cause."""
    try:
        raise error from cause
    except BaseException as caught:
        return caught


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ValueError("no room"), "ValueError: no room"),
        (ValueError(""), "ValueError: it did not say why"),
        (ValueError("two\nlines"), "ValueError: two lines"),
        (ValueError("first of many\n" + "x" * 400), "ValueError: first of many"),
        (Faulty("2 validation errors"), "Faulty: max_len: must be below 1024; and even"),
        (
            RuntimeError(PYDANTIC),
            "RuntimeError: Value error, User-specified max_model_len (4096) is greater than 1024.",
        ),
        (RuntimeError(INDUCTOR), "RuntimeError: omp.h: No such file or directory"),
        (RuntimeError("it broke\nKeyError: 'bos'\nsee above"), "RuntimeError: KeyError: 'bos'"),
        (
            raised(RuntimeError("no start"), KeyError("bos")),
            "RuntimeError: no start; because of KeyError: 'bos'",
        ),
        (raised(RuntimeError("no start: gone"), OSError("gone")), "RuntimeError: no start: gone"),
        (
            ExceptionGroup("two", [ValueError("one"), KeyError("x")]),
            "ExceptionGroup: two (2 sub-exceptions); because of",
        ),
    ],
)
def test_an_exception_is_told_with_the_line_that_says_why(
    error: BaseException, expected: str
) -> None:
    said = reasons.told(error)
    assert said.startswith(expected) and "\n" not in said and len(said) <= reasons.LONGEST


def test_what_was_raised_from_itself_is_told_to_an_end() -> None:
    first, second = ValueError("one"), ValueError("two")
    first.__cause__, second.__cause__ = second, first
    assert reasons.told(first) == "ValueError: one; because of ValueError: two"


@pytest.mark.parametrize(
    "prefix", ["", "(EngineCore pid=77) ERROR 11-28 19:04:20 [core.py:866] ", "[2026-11-28] "]
)
def test_exceptions_of_other_processes_are_found_behind_any_prefix(prefix: str) -> None:
    lines = ["Traceback (most recent call last):", '  File "core.py", line 1, in run', "    load()"]
    log = "\n".join(
        prefix + line for line in [*lines, "torch.OutOfMemoryError: no memory for the cache"]
    )
    log = f"INFO: starting\n{log}\nINFO: gone\n 10%|#  | 1/10\n"
    assert reasons.of_log(log) == ["OutOfMemoryError: no memory for the cache"]
    assert reasons.last(log + log) == "OutOfMemoryError: no memory for the cache"


def test_a_log_without_a_traceback_has_no_reason() -> None:
    assert (
        reasons.last(
            "ValueError: is only a word here\nTraceback (most recent call last):\n  cut off"
        )
        == ""
    )


def test_the_fault_of_a_validation_in_a_log_is_the_reason() -> None:
    log = f'Traceback (most recent call last):\n  File "a.py", line 1\npydantic_core.ValidationError: {PYDANTIC}\n'
    assert reasons.last(log).startswith(
        "ValidationError: Value error, User-specified max_model_len (4096)"
    )
