"""What a part is given is the caller's: a list that the part changed is found out, whatever else
the call came to."""

import array

from .return_types import Undue

LISTS = (list, array.array)  # of what is handed over, what can be changed
WHOSE = "what is handed over is the caller's"


def called(function, *args):
    """What it returns or raises; Undue when it changed one of its arguments that is a list."""
    before = [arg[:] if type(arg) in LISTS else None for arg in args]
    try:
        return function(*args)
    finally:
        if any(was is not None and arg != was for arg, was in zip(args, before, strict=True)):
            raise Undue("changed a list that it was given", WHOSE)


class LentRequests:
    """The requests that a scheduler was given, and what was in them: only `output` is its own to
    change."""

    FIELDS = ("id", "prompt", "max_new", "priority", "eos")

    def __init__(self):
        self.lent = []

    def lend(self, request):
        fields = [getattr(request, name) for name in self.FIELDS]
        self.lent.append(
            (request, [field[:] if type(field) is list else field for field in fields])
        )

    def keep(self, ids):
        """From now on those of these ids are looked at, and no others."""
        self.lent = [each for each in self.lent if each[1][0] in ids]

    def called(self, function, *args):
        """What it returns or raises; Undue when it changed a request."""
        try:
            return function(*args)
        finally:
            for request, was in self.lent:
                changed = [
                    name
                    for name, old in zip(self.FIELDS, was, strict=True)
                    if getattr(request, name) != old
                ]
                if changed:
                    whose = "of a request `output` alone is the scheduler's to change"
                    raise Undue(f"changed `{changed[0]}` of request {was[0]}", whose)
