"""Notices code that is not in the text that was handed in: unpacked, put together of bytes, or
compiled of other text.

An audit hook, which nothing in Python takes away again. It looks at where code objects come from;
one whose bytes or text no file of the interpreter's library holds, made while the part is loaded or
called, is somebody else's work or in disguise. What it does about it is for the caller to say, who
is told the name of the event.
"""

import ast
import os
import sys
import types
from collections.abc import Callable, Iterator
from sys import _getframe as _frame

EVENTS = frozenset(
    {"marshal.loads", "marshal.load", "code.__new__", "compile", "exec", "ctypes.dlsym"}
)
STANDARD = f"{os.path.dirname(os.__file__)}/"
IMPORTING = tuple(
    f"<frozen {name}>" for name in ("importlib._bootstrap", "importlib._bootstrap_external")
)
OWN_TEXT = "<string>"  # the file of code that exec or eval was given as text
NATIVE = (
    "PyMarshal_",
    "PyCode_",
    "PyUnstable_Code",
    "PyRun_",
    "Py_Compile",
    "PyEval_EvalCode",
    "PyImport_ExecCode",
)
MAKERS = {  # of the library: what makes code of names that are checked
    "dataclasses.py": {"dataclass", "make_dataclass", "wrap"},
    "collections/__init__.py": {"namedtuple"},
    "typing.py": {"NamedTuple", "__new__"},
}

_open, _read, _close = os.open, os.read, os.close
_compile = compile
_PARSER = ast.parse.__code__  # makes trees, of which nobody can run one


class ForeignCode:
    """Put on by `watch`; from then on `stop` is called with the name of what happened, and does not
    return."""

    def __init__(self, stop: Callable[[str], None]) -> None:
        self._stop = stop
        self._library: tuple[str, ...] = ()
        self._texts: frozenset[str] = frozenset()  # that stand in the text that was handed in
        self._watching = False

    def watch(self, code: types.CodeType) -> None:
        """From now on, for good. code: of the whole text."""
        self._texts = frozenset(text.strip() for text in _texts(code))
        if not self._watching:
            self._watching, self._library = True, _library()
            sys.addaudithook(self._heard)

    def _heard(self, event: str, args: tuple) -> None:
        if event in EVENTS and not self._harmless(event, args):
            self._stop(event)

    def _harmless(self, event: str, args: tuple) -> bool:
        if event == "ctypes.dlsym":
            return not str(args[1]).startswith(NATIVE)
        maker = _frame(2)
        if maker.f_code is _same.__code__ or maker.f_code is _PARSER:
            return True
        if event == "exec":  # other code was looked at when it was compiled or loaded
            return (
                args[0].co_filename != OWN_TEXT
                or self._is_made_of_names(maker)
                or self._is_text(args[0])
            )
        if maker.f_code.co_filename in IMPORTING:
            return self._is_of_the_library(args[0])
        said = event == "compile" and (self._is_said(args[0]) or self._is_underlined(*args[:2]))
        return said or self._is_made_of_names(maker)

    def _is_said(self, source: object) -> bool:
        """Whether the text that is compiled stands in what was handed in."""
        text = source.decode("utf-8", "replace") if type(source) is bytes else source
        return type(text) is str and text.strip() in self._texts

    def _is_underlined(self, source: object, file: object) -> bool:
        """Whether it is a piece of a line of the library, which the interpreter parses to underline
        it in a traceback: an exception that ends a thread, or `__del__`, shows one by itself."""
        if type(source) is not bytes or type(file) is not str or not file.startswith(self._library):
            return False
        return any(source.strip() in line for line in _content(file).splitlines())

    def _is_text(self, code: types.CodeType) -> bool:
        """Whether it is what some text says that stands in what was handed in."""
        return any(_same(code, text) for text in self._texts)

    def _is_made_of_names(self, maker: types.FrameType) -> bool:
        """Whether a package makes it, or a function of the library that takes no text, called by
        whomever."""
        called = ("", "")
        frame: types.FrameType | None = maker
        while frame is not None:
            file = frame.f_code.co_filename
            home = next((home for home in self._library if file.startswith(home)), "")
            if not home or "/guest/" in file:
                break
            if (
                not file.startswith(STANDARD)
                or "site-packages/" in file
                or frame.f_code.co_name == "<module>"
            ):
                return True  # the engine, a package, or a module that is being imported
            called = file.removeprefix(home), frame.f_code.co_name
            frame = frame.f_back
        return called[1] in MAKERS.get(called[0], ())

    def _is_of_the_library(self, data: object) -> bool:
        """Whether a file that is being imported, and that no part can write, holds these bytes."""
        if not isinstance(data, bytes | bytearray | memoryview):
            return False
        frame: types.FrameType | None = _frame(3)
        while frame is not None and frame.f_code.co_filename in IMPORTING:
            for name in ("bytecode_path", "source_path", "path"):
                path = frame.f_locals.get(name)
                if (
                    type(path) is str
                    and path.startswith(self._library)
                    and _content(path).endswith(bytes(data))
                ):
                    return True
            frame = frame.f_back
        return False


def _library() -> tuple[str, ...]:
    """The folders in which packages lie that are loaded before any part is: the interpreter's, the
    engine, torch."""
    homes = [
        os.path.dirname(next(iter(module.__path__), ""))
        for module in [*sys.modules.values()]
        if _is_package(module)
    ]
    return tuple(dict.fromkeys([STANDARD, *(f"{home}/" for home in homes if home)]))


def _is_package(module: object) -> bool:
    return (
        type(module) is types.ModuleType
        and "." not in module.__name__
        and type(module.__dict__.get("__path__")) is list
    )


def _texts(code: types.CodeType) -> Iterator[str]:
    """Every text in it, in what is nested in it and in tuples."""
    todo = [*code.co_consts]
    while todo:
        each = todo.pop()
        if type(each) is str:
            yield each
        elif type(each) is types.CodeType:
            todo += each.co_consts
        elif type(each) is tuple:
            todo += each


def _content(path: str) -> bytes:
    try:
        descriptor = _open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        data = b""
        while more := _read(descriptor, 1 << 20):
            data += more
        return data
    finally:
        _close(descriptor)


def _same(code: types.CodeType, text: str) -> bool:
    """Whether the code is what that text says."""
    for mode in ("exec", "eval"):
        try:
            said = _compile(text, OWN_TEXT, mode, dont_inherit=True)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        if (said.co_code, said.co_consts, said.co_names) == (
            code.co_code,
            code.co_consts,
            code.co_names,
        ):
            return True
    return False
