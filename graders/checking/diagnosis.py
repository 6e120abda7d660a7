"""What an exception says about a part: which method to look at, what is wrong with it, and what is
due instead."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from graders.checking import signature_hints
from graders.checking.replies import METHODS, Raised
from graders.result import Reason
from graders.submissions.source import Submission
from reference_engine import slots

MISSING = re.compile(r"(?:'(\w+)' object|module '\w+') has no attribute '(\w+)'")


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """method: the one to look at. message: one sentence. expected: what is due. reason: what the
    outcome is about.

    inside: the fault is where it raised, not in how the method is declared.
    """

    method: str
    message: str
    expected: str
    reason: Reason = Reason.LAW
    inside: bool = False


class Diagnostician:
    """Reads exceptions of one part. class_name: of the contract's class, empty where the part is a
    module."""

    def __init__(self, submission: Submission, class_name: str) -> None:
        self._submission = submission
        self._source = submission.source
        self._class_name = class_name
        self._contract: type | None = getattr(slots, class_name or "", None)

    def of(self, method: str, raised: Raised, expected: str) -> Diagnosis:
        """What it means that a call of `method` raised this, where the contract has `expected`."""
        found = self._of_exception(method, raised, expected)
        return self._slipped(found.method, raised) or found

    def of_property(self, name: str, value: Any) -> Diagnosis | None:
        """What is wrong if `value`, read where the contract has property `name`, is a method; None
        if it is not."""
        if value not in METHODS:
            return None
        message = (
            self._slip([name])[1] or f"`{name}` must be a property: put @property above its def."
        )
        return Diagnosis(name, message, f"a property {name}")

    def _of_exception(self, method: str, raised: Raised, expected: str) -> Diagnosis:
        if raised.leaving:
            return Diagnosis(method, f"`{method}` {raised.leaving}.", expected, inside=True)
        if raised.undue:
            return Diagnosis(method, f"`{method}` {raised.text}.", expected)
        if "NotImplementedError" in raised.kinds:
            method = raised.frames[-1][1] if raised.frames else method
            return Diagnosis(method, f"`{method}` is not written yet.", expected, Reason.UNWRITTEN)
        if not raised.frames and "AttributeError" in raised.kinds:
            return self._lacking(method, raised, expected)
        if not raised.frames and "TypeError" in raised.kinds:
            message = f"`{method}` cannot be called as the contract says: {raised.text}."
            return Diagnosis(method, message, self._written(method, expected))
        meant = self._meant(raised) if "AttributeError" in raised.kinds else ""
        return Diagnosis(
            method, f"`{method}` raised {raised}{raised.advice}.{meant}", expected, inside=True
        )

    def _meant(self, raised: Raised) -> str:
        """The name that the part has, when it asks itself for one that it has not."""
        owner, missing = next(iter(MISSING.findall(raised.text)), ("", ""))
        near = (
            signature_hints.near(self._source, self._class_name, missing)
            if owner == self._class_name
            else ""
        )
        return f" Did you mean `{near}`?" if near else ""

    def _lacking(self, method: str, raised: Raised, expected: str) -> Diagnosis:
        """Nothing of the part raised: it lacks something, or what it returned does."""
        owner, missing = next(iter(MISSING.findall(raised.text)), ("", method))
        if owner not in ("", self._class_name):
            returned = (
                "nothing; is a return missing?"
                if owner == "NoneType"
                else f"a {owner}, which has no `{missing}`."
            )
            return Diagnosis(method, f"`{method}` returned {returned}", expected)
        inside = "" if owner else signature_hints.inside(self._source, missing)
        if inside:
            message = f"There is no `{missing}` at the top level of the file: it stands in class {inside}, take it out."
            return Diagnosis(missing, message, f"a function {missing}")
        near = signature_hints.near(self._source, self._class_name, missing)
        if near:
            line = self._submission.lines.get(near, 0)
            message = f"There is no `{missing}`: did you mean it by `{near}`{f' in line {line}' if line else ''}?"
            return Diagnosis(near, message, self._written(missing, expected))
        return Diagnosis(
            missing, f"There is no `{missing}`: {raised.text}.", self._written(missing, expected)
        )

    def _slip(self, names: Iterable[str]) -> tuple[str, str]:
        return signature_hints.slip(self._source, self._contract, names)

    def _slipped(self, method: str, raised: Raised) -> Diagnosis | None:
        """When it was raised because a method has another form than in the contract."""
        if not {"TypeError", "AttributeError"} & set(raised.kinds):
            return None
        lines = self._source.split("\n")
        last = [lines[line - 1] for line, _ in raised.frames[-1:] if 1 <= line <= len(lines)]
        callers = [function for _, function in reversed(raised.frames)]
        name, message = self._slip(
            [method, *signature_hints.called(" ".join([raised.text, *last])), *callers]
        )
        return Diagnosis(name, message, self._written(name, "")) if name else None

    def _written(self, method: str, otherwise: str) -> str:
        """ "a method unlock(self, node)", from the contract; `otherwise` for what it does not name."""
        found = inspect.getattr_static(self._contract, method, None)
        if isinstance(found, property):
            return f"a property {method}"
        return f"a method {method}{_names_of(found)}" if inspect.isfunction(found) else otherwise


def _names_of(function: Callable[..., Any]) -> str:
    """Its signature without the types: "(self, tokens, namespace=None)"."""
    signature = inspect.signature(function)
    plain = [
        each.replace(annotation=inspect.Parameter.empty) for each in signature.parameters.values()
    ]
    return str(inspect.Signature(plain))
