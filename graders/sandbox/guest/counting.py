"""Counts the bytecode instructions that calls of a part execute: work that no clock and no busy
machine can blur.

Only Python code is seen. A loop in C (`min`, `sum`, `in` on a list, a slice) counts as one
instruction; it is found by its time. Code of the driver and of the engine around the part is left
out; the standard library counts as the part's.
"""

import sys
from os.path import dirname
from types import CodeType

import reference_engine

# files of these names are not counted
OURS = (dirname(__file__), dirname(reference_engine.__file__), "stand-in")

_settrace = sys.settrace


def tally(bound, most):
    """Instructions executed by each of the calls (function, args); none of them is followed beyond
    `most`."""
    return [Meter(most).measure(function, args) for function, args in bound]


class Meter:
    """A trace function that counts. most: where it stops to look."""

    __slots__ = ("count", "known", "most")

    def __init__(self, most):
        self.most = most
        self.count = 0
        self.known: dict[CodeType, bool] = {}

    def measure(self, function, args):
        before = sys.gettrace()
        _settrace(self.enter)
        try:
            function(*args)
        finally:
            _settrace(before)
        return min(self.count, self.most)

    def enter(self, frame, event, arg):
        code = frame.f_code
        counted = self.known.get(code)
        if counted is None:
            counted = self.known[code] = not code.co_filename.startswith(OURS)
        if not counted:
            return None
        frame.f_trace_lines = False
        frame.f_trace_opcodes = True
        return self.step

    def step(self, frame, event, arg):
        if event == "opcode":
            self.count += 1
            if self.count > self.most:
                _settrace(None)
                return None
        return self.step
