"""What a part may say in a worker that holds the course's own parts too: it could read them out.

What it prints is not shown there, and of an exception only its type, its lines and the names of its
functions are; of a sentence of the engine's or the machine's the words that those have, and a few
short numbers.
"""

from __future__ import annotations

import ast
import builtins
import errno
import os
import re
from functools import cache
from pathlib import Path
from typing import Any

import reference_engine

LONGEST = 200  # characters of a sentence of the engine's
NUMBERS = 12  # that are told of a sentence; no longer ones than of 6 digits
WORD = re.compile(r"\w+")
TORCH = "can't allocate memory DefaultCPUAllocator not enough you tried to allocate bytes CUDA out of memory"
# said by the engine, or by the machine
OURS = ("PartError", "ModelError", "OSError", "MemoryError", "RuntimeError")
QUOTED = re.compile(r"(raised \w+): .*", re.DOTALL)
PRINTED = "(what the part prints is not shown while the course's own parts are loaded beside it)\n"
DEEPEST = 4


def quiet(answer: Any, depth: int = DEEPEST) -> Any:
    """An answer off the wire, its exceptions without the part's words. Numbers and what was
    returned stay."""
    if type(answer) is dict:
        return {
            name: _told(value) if name == "x" else quiet(value, depth - 1)
            for name, value in answer.items()
        }
    if type(answer) is list and depth and any(type(item) in (dict, list) for item in answer[:2]):
        return [quiet(item, depth - 1) for item in answer]
    return answer


def _told(raised: Any) -> Any:
    if type(raised) is not dict or type(raised.get("text")) is not str:
        return raised  # no exception; whoever reads it says so
    said = raised.get("type") in OURS and (
        raised["type"] == "PartError" or not raised.get("frames")
    )
    text = _known_words(QUOTED.sub(r"\1", raised["text"])[:LONGEST]) if said else ""
    return {**raised, "text": text, **({"got": ""} if "got" in raised else {})}


def _known_words(text: str) -> str:
    """The sentence without whatever the part has written into it, as a name or an object's text."""
    left = iter(range(NUMBERS))

    def told(found: re.Match[str]) -> str:
        word = found[0]
        short = word.isascii() and word.isdecimal() and len(word) <= 6
        return word if word in _vocabulary() or (short and next(left, None) is not None) else "…"

    return WORD.sub(told, text)


@cache
def _vocabulary() -> frozenset[str]:
    """Words of all texts in the engine's files that blame parts, of the system's errors, and names
    of builtins."""
    folder = Path(reference_engine.__path__[0])
    sources = (path.read_text(encoding="utf-8") for path in sorted(folder.rglob("*.py")))
    trees = (ast.parse(source) for source in sources if "PartError(" in source)
    nodes = (node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant))
    texts = [node.value for node in nodes if isinstance(node.value, str)]
    texts += [TORCH, *map(os.strerror, errno.errorcode), *dir(builtins)]
    return frozenset(word for text in texts for word in WORD.findall(text) if not word.isdecimal())
