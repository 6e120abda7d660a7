"""The line of an engine's error that says why: of exceptions, of what processes printed, of
compilers.

Works by the form that Python, pydantic and compilers give to errors, never by what a sentence says.
Needs the standard library alone: it runs in the environments of all engines too.
"""

import re
from typing import Any

LONGEST = 300
NAME = r"(?:[A-Za-z_]\w*\.)*[A-Z]\w*"
RAISED = re.compile(rf"^({NAME}(?:Error|Exception|Exit|Interrupt|Failed|Failure|Group)): (.+)$")
"""The last line of a traceback: the exception's type, then what it says."""
BARE = re.compile(rf"^({NAME}(?:Error|Exception|Exit|Interrupt))$")
TRACEBACK = re.compile(r"Traceback \(most recent call last\):\s*$")
DIAGNOSIS = re.compile(r"^\S+?:\d+(?::\d+)?: (?:fatal )?error: (.+)$")
"""What compilers print for a mistake."""
DETAIL = re.compile(r"^ {2,}\S")
"""Of a pydantic error: the fault, below the field that has it."""
TAIL = re.compile(r"\s*\[type=[^\]]*\]?.*$")
"""Of a pydantic error: the kind of the fault and the value, which may be long."""
DEPTH = 8
"""Causes of causes that are followed."""


def told(error: BaseException) -> str:
    """One line: the exception's type and what it says, and those of what it was raised from."""
    said: list[str] = []
    for _ in range(DEPTH):
        line = f"{type(error).__name__}: {_message(error)}"
        if not any(line.partition(": ")[2] in before for before in said):
            said.append(line)
        inner = getattr(error, "exceptions", None)
        cause = inner[0] if inner else error.__cause__
        if cause is None:
            break
        error = cause
    return shortened("; because of ".join(said))


def _message(error: BaseException) -> str:
    """What an exception says, the fault first where it is a list of faults (pydantic)."""
    list_of_faults = getattr(error, "errors", None)
    if callable(list_of_faults):
        try:
            faults = [
                (".".join(map(str, fault.get("loc", ()))), str(fault["msg"]))
                for fault in list_of_faults()
            ]
        except Exception:  # an attribute of that name which is something else
            faults = []
        if faults:
            return "; ".join(f"{place}: {fault}" if place else fault for place, fault in faults[:3])
    return of_message(str(error))


def of_message(text: str) -> str:
    """The line of a message that says why: a compiler's, an exception's within it, a pydantic
    fault; else its lines."""
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    if not lines:
        return "it did not say why"
    for line in lines:
        found = DIAGNOSIS.match(line.strip())
        if found:
            return found[1]
    raised = [line.strip() for line in lines[1:] if RAISED.match(line.strip())]
    if raised:
        return raised[-1]
    details = [TAIL.sub("", line.strip()) for line in lines[1:] if DETAIL.match(line)]
    if len(lines) > 1 and details and "[type=" in text:
        return details[0]
    joined = " ".join(line.strip() for line in lines)
    return joined if len(joined) <= LONGEST // 2 else lines[0].strip()


def of_log(text: str) -> list[str]:
    """Every exception that processes printed with a traceback, oldest first, each as one line.

    Lines may carry a prefix, as loggers give them: it is what stands before "Traceback" there.
    """
    lines, found = text.splitlines(), []
    for number, line in enumerate(lines):
        opening = TRACEBACK.search(line)
        if opening:
            found += _end_of_traceback(lines[number + 1 :], opening.start())
    return list(dict.fromkeys(found))


def _end_of_traceback(lines: list[str], width: int) -> list[str]:
    """The exception that ends the traceback which begins here; none when it is cut off.

    width: of the prefix. Loggers that write the name and place of a process first make it differ by
    a digit or two, so the exception is looked for behind a prefix of about that width.
    """
    for number, line in enumerate(lines):
        if TRACEBACK.search(line):
            return []
        for cut in dict.fromkeys((width, width - 1, width + 1, width - 2, width + 2, 0)):
            rest = line[max(cut, 0) :]
            if RAISED.match(rest):
                kind, _, message = rest.partition(": ")
                block = [
                    message,
                    *(later[max(cut, 0) :] for later in _continued(lines[number + 1 :], cut)),
                ]
                return [shortened(f"{kind.rpartition('.')[2]}: {of_message(chr(10).join(block))}")]
    return []


def _continued(lines: list[str], cut: int) -> list[str]:
    """The further lines of an exception's message: they are indented, or belong to a compiler."""
    kept: list[str] = []
    for line in lines[:40]:
        rest = line[max(cut, 0) :]
        if TRACEBACK.search(line) or not rest.strip():
            break
        if DETAIL.match(rest) or DIAGNOSIS.match(rest.strip()):
            kept.append(line)
    return kept


def shortened(line: str) -> str:
    """Cut where it is longer than anybody reads."""
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"


def last(text: str) -> str:
    """The reason in what a process printed: its last exception, "" when it printed none."""
    found: list[Any] = of_log(text)
    return found[-1] if found else ""
