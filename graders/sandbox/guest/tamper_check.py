"""Notices when a part changes what is not its own: functions, classes and modules of the driver and
of the engine.

Evidence, no lock: the part shares the process, and whoever takes pains can change this too. Nothing
that the grader believes rests on it. What it catches is named, and a person looks at it.
"""

import builtins
import json
import json.scanner
import sys
import types
from operator import attrgetter, is_, itemgetter

OURS = ("guest.", "reference_engine")
LENT = (builtins, json, json.encoder, json.decoder, json.scanner)
HARMLESS = ("print", "_", "__annotations__", "__annotate__")
CALLED = (types.FunctionType, types.BuiltinFunctionType, type)
FIXED = (*CALLED, types.ModuleType, staticmethod, classmethod, property)

_code = attrgetter("__code__")


class TamperCheck:
    """Put on by `extend`; from then on `broken` names the first thing that is not as it was."""

    def __init__(self) -> None:
        self.spaces: dict = {}  # title -> Space
        self.functions: list = []
        self.codes: list = []
        self.titles: list = []  # of the functions
        self.modules: dict = {}
        self.imported = 0
        for module in LENT:
            self._seal(module.__name__, module.__dict__)

    def extend(self, foreign: frozenset = frozenset()) -> str:
        """Seal what was imported since the last time; the name of what in it comes from a file in
        `foreign`, or ""."""
        if len(sys.modules) == self.imported:
            return ""
        self.imported, before = len(sys.modules), len(self.codes)
        for name, module in list(sys.modules.items()):
            if (
                name.startswith(OURS)
                and name not in self.modules
                and type(module) is types.ModuleType
            ):
                self.modules[name] = module
                self._seal(name, module.__dict__)
        strangers = zip(self.titles[before:], self.codes[before:], strict=True)
        return next((title for title, code in strangers if code.co_filename in foreign), "")

    def broken(self) -> str:
        """The name of what has changed; "" if nothing has."""
        for title, space in self.spaces.items():
            if space.changed():
                return f"{title}.{space.culprit()}"
            if title.startswith(OURS) and space.grown():
                return f"{title}.{space.stranger()}"
        if not all(map(is_, map(_code, self.functions), self.codes)):
            pairs = zip(self.titles, self.functions, self.codes, strict=True)
            return str(
                next(title for title, function, code in pairs if function.__code__ is not code)
            )
        gone = (
            name for name, module in self.modules.items() if sys.modules.get(name) is not module
        )
        return str(next(gone, ""))

    def _seal(self, title: str, names) -> None:
        if title in self.spaces:
            return
        space = self.spaces[title] = NamespaceSnapshot(names)
        for name, value in zip(space.names, space.values, strict=True):
            function = getattr(value, "__func__", getattr(value, "fget", value))
            if type(function) is types.FunctionType:
                self.titles.append(f"{title}.{name}")
                self.functions.append(function)
                self.codes.append(function.__code__)
            if isinstance(value, type) and str(value.__module__).startswith(OURS):
                self._seal(f"{value.__module__}.{value.__qualname__}", vars(value))


class NamespaceSnapshot:
    """The names of a module or class, and what they stood for when it was sealed."""

    def __init__(self, space) -> None:
        fixed = {
            name: value
            for name, value in space.items()
            if name not in HARMLESS and isinstance(value, FIXED)
        }
        self.space = space
        # two at least, so that what is fetched is a tuple
        self.names = (*fixed, "__doc__", "__doc__")
        self.values = (*fixed.values(), space["__doc__"], space["__doc__"])
        self.fetch = itemgetter(*self.names)
        self.size = len(space)

    def changed(self) -> bool:
        try:
            return not all(map(is_, self.fetch(self.space), self.values))
        except KeyError:
            return True

    def culprit(self) -> str:
        pairs = zip(self.names, self.values, strict=True)
        return next((name for name, value in pairs if self.space.get(name) is not value), "")

    def grown(self) -> bool:
        """Whether there is a stranger; looks only when the number of names has changed."""
        if len(self.space) == self.size:
            return False
        self.size = len(self.space)
        return bool(self.stranger())

    def stranger(self) -> str:
        """A new name for something callable that is none of ours: it may stand before a builtin."""
        new = [(name, value) for name, value in list(self.space.items()) if name not in self.names]
        called = [
            (name, value)
            for name, value in new
            if name not in HARMLESS and isinstance(value, CALLED)
        ]
        return next(
            (name for name, value in called if not str(value.__module__).startswith(OURS)), ""
        )
