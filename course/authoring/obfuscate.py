"""A solution that runs and cannot be read: the stub with its contracts, and the solved code as
bytecode.

A student's course plugs the solved parts around the student's own and measures it against them, so
they have to be there. Bytecode is no vault, whoever takes pains can read it; it is what keeps an
answer from being seen by looking.
"""

from __future__ import annotations

import base64
import importlib.util
import marshal
import sys
import zlib

from course.exercise_text.stubs import BEGIN, END, stub

WIDTH = 100


def obfuscate(solution: str, name: str) -> str:
    """The text of a module that defines what `solution` does, under the same stub. name: its path,
    for tracebacks.

    `course reset` and `course init` make the same stub of it as of the solution. It runs on the
    minor version of Python that made it and says so on any other.
    """
    shown = _marked(stub(solution, name))
    code = compile(solution, name, "exec", dont_inherit=True, optimize=2)
    packed = base64.b85encode(zlib.compress(marshal.dumps(code), 9)).decode()
    lines = [f'    "{packed[start : start + WIDTH]}"' for start in range(0, len(packed), WIDTH)]
    version = ".".join(map(str, sys.version_info[:2]))
    return "\n".join(
        [
            *shown,
            "",
            BEGIN,
            "# The solved part, obfuscated, to run beside yours: `course check` needs it; there is nothing to read.",
            "import base64 as _base64, importlib.util as _util, marshal as _marshal, zlib as _zlib  # noqa: E401",
            "",
            f"if _util.MAGIC_NUMBER != {importlib.util.MAGIC_NUMBER!r}:",
            f'    raise ImportError("this kit was made for Python {version}; install that version to use it")',
            "_PACKED = (",
            *lines,
            ")",
            "exec(_marshal.loads(_zlib.decompress(_base64.b85decode(_PACKED))), globals())",
            END,
            "",
        ]
    )


def _marked(text: str) -> list[str]:
    """The lines of a stub, each body to be written between the marks of a solution again."""
    lines: list[str] = []
    for line in text.splitlines()[1:]:  # the first says that the stub is generated
        if line.strip().startswith('raise NotImplementedError("your code'):
            indent = line[: len(line) - len(line.lstrip())]
            lines += [
                indent + BEGIN,
                f'{indent}raise ImportError("obfuscated: what follows takes its place")',
                indent + END,
            ]
        else:
            lines.append(line)
    while lines and not lines[-1].strip():
        lines.pop()
    return lines
