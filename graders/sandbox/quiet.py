"""What a part may say in a worker that holds the course's own parts too: it could read them out.

What it prints is not shown there, and of an exception only its type, its lines and the names of its functions are.
"""

from __future__ import annotations

import re
from typing import Any

LONGEST = 200  # characters of a sentence of the engine's, in which some of the part's may stand
OURS = ("PartError", "ModelError", "OSError", "MemoryError", "RuntimeError")  # said by the engine, or by the machine
QUOTED = re.compile(r"(raised \w+): .*", re.DOTALL)
PRINTED = "(what the part prints is not shown while the course's own parts are loaded beside it)\n"
DEEPEST = 4


def quiet(answer: Any, depth: int = DEEPEST) -> Any:
    """An answer off the wire, its exceptions without the part's words. Numbers and what was returned stay."""
    if type(answer) is dict:
        return {name: _told(value) if name == "x" else quiet(value, depth - 1) for name, value in answer.items()}
    if type(answer) is list and depth and any(type(item) in (dict, list) for item in answer[:2]):
        return [quiet(item, depth - 1) for item in answer]
    return answer


def _told(raised: Any) -> Any:
    if type(raised) is not dict or type(raised.get("text")) is not str:
        return raised  # no exception; whoever reads it says so
    said = raised.get("type") in OURS and (raised["type"] == "PartError" or not raised.get("frames"))
    text = QUOTED.sub(r"\1", raised["text"])[:LONGEST] if said else ""
    return {**raised, "text": text, **({"got": ""} if "got" in raised else {})}
