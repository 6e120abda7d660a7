"""The worker's side of the wire: load a part, call it, send back what it returned as plain data.

Nothing here decides anything: no verdict, no clock, no expected value. What the part returns is
copied into plain JSON by exact type, so that a subclass of int or an object with a cunning __eq__
reaches the grader as its type's name only.

Values, as the grader sees them: null, true, false, a 64-bit integer, a finite float, {"s": text}, a
list (for a list or a tuple of at most 100,000 items, 150,000 with those in it), {"copy": [src,
dst]}, and {"type": name} for anything else. In the place of any answer: {"tampered": name} when the
part has changed something of the driver or the engine (`seal`), {"foreign": event} when it made
code of something else than its text (`foreign_code`); nobody answers after that. Outcome of a call:
{"r": value} or {"x": {"kinds": [...], "type": name, "text": str(e), "frames": [[line, function]],
"file": name}}: frames are those of parts, file is that of the last of them, a companion's or the
submission's. Of what was returned and is not due (`due`) "x" also has "got": that half of the text.

Requests ({"do": …}):
  driver slot                            import what the slot's driver needs (torch, for exercise 4); {}
  load   slot, file, source, watched     compile and run the part's source as module <slot>; {} or {"x": …}
  stand_in slot, source                  the same for what is to surround the part; {}
  new    slot, args, keywords            a fresh object through the slot's driver; {} or {"x": …}
  call   calls [[method, args]], watch   each call on that object; {"calls": [outcome], "seen": [snapshot]}
  trace  fresh, moves                    a fresh object if `fresh` ({slot, args, keywords}) is given, then the driver's
                                         trace(worker_parts, part, move) for each; {"moves": [what
                                         it gave]} or {"x": …}
  shifts calls, least                    each call once; {"shifts": [those that moved a list that long]} or {"x": …}
  again  calls, times                    the calls over and over, for their cost alone; {} or {"x": …}
  tally  calls, most                     each call once; {"tally": [bytecode instructions, `most` at most]} or {"x": …}
  still  on                              whether the garbage collector keeps still from now on; {}
"""

import gc
import importlib
import json
import os
import resource
import sys
import types

from . import counting, list_shift_probe
from .foreign_code import ForeignCode
from .return_types import Undue
from .tamper_check import TamperCheck

LONGEST = 100_000
LARGEST = 2**63 - 1
DEEPEST = 6
MOST = 150_000  # items of all lists in a value: one that holds itself has no end
LONGEST_NAME = 60
PIECE = 1 << 16  # bytes of a question that are read at once
# of many calls in a row so many are made between two looks at what a part may not change
EVERY = 32
KINDS = (
    Undue,
    KeyError,
    ValueError,
    NotImplementedError,
    AssertionError,
    TypeError,
    AttributeError,
    IndexError,
)
LEAVING = (SystemExit, KeyboardInterrupt, GeneratorExit, MemoryError)

_exit = os._exit
_import = importlib.import_module
_encode = json.JSONEncoder(separators=(",", ":")).encode
_loads = json.loads
_read = os.read
_write = os.write
_cut = str.__getitem__  # of the text itself, whatever its class says
_ancestors = type.__dict__["__mro__"].__get__
_traceback = BaseException.__dict__["__traceback__"].__get__


def serve(wire: int, limits: dict) -> None:
    """Answer requests until the grader closes the wire."""
    for name, value in limits.items():
        hard = resource.getrlimit(getattr(resource, name))[1]
        if hard == resource.RLIM_INFINITY or value < hard:
            resource.setrlimit(getattr(resource, name), (value, value))
    line = Line(wire)
    worker_parts, seal, calls = GuestParts(line), TamperCheck(), 0

    def stop(event: str) -> None:
        line.say({"foreign": event})
        _exit(1)

    worker_parts.foreign = ForeignCode(stop)
    while (request := line.hear()) is not None:
        calls = calls + 1 if request["do"] == "call" else 0
        line.say(_answer(worker_parts, request, seal, calls < 2 or calls % EVERY == 0))


def _answer(worker_parts: "GuestParts", request: dict, seal: TamperCheck, looking: bool) -> dict:
    """What the parts say, or that the part has changed what it may not; everything is looked at
    when `looking`."""
    seal.extend()
    answer = worker_parts.answer(request)
    sys.settrace(None)  # a breakpoint left in the part follows what comes after it, too
    sys.setprofile(None)
    changed = seal.extend(frozenset(worker_parts.files)) or (looking and seal.broken())
    changed = changed or ("guest.worker.GuestParts" if type(worker_parts) is not GuestParts else "")
    return {"tampered": changed[:200].encode("utf-8", "replace").decode()} if changed else answer


def _question(wire: int) -> "bytearray | None":
    """The next one, mostly in one piece: nothing is asked before the answer. None when the wire has
    been closed."""
    data = bytearray()
    while len(data) < 4 or len(data) < 4 + int.from_bytes(data[:4], "big"):
        more = _read(wire, PIECE)
        if not more:
            return None
        data += more
    del data[:4]
    return data


def _send(wire: int, frame: bytes) -> None:
    view = memoryview(frame)
    while view:
        view = view[_write(wire, view) :]


class Line:
    """This end of the wire. An answer may be a question in turn (`ask`), while something is made
    for the grader."""

    __slots__ = ("asked", "wire")

    def __init__(self, wire: int) -> None:
        self.wire = wire
        self.asked = 0

    def hear(self) -> "dict | None":
        """The next question; None when the grader has closed the wire."""
        question = _question(self.wire)
        if question is None:
            return None
        request: dict = _loads(question)
        self.asked = request["id"]
        return request

    def say(self, answer: dict) -> None:
        payload = _encode({"id": self.asked, **answer}).encode()
        _send(self.wire, len(payload).to_bytes(4, "big") + payload)

    def ask(self, wanted: dict) -> dict:
        """What the grader answers: the question it asks then is {"do": "told", …}."""
        self.say(wanted)
        return self.hear() or os._exit(0)


class GuestParts:
    """The parts loaded, and the object under test. No instance has methods of its own. line: to the
    grader."""

    __slots__ = (
        "driver",
        "files",
        "foreign",
        "line",
        "memory",
        "part",
        "parts",
        "room",
        "slots",
        "stand_ins",
        "texts",
    )

    def __init__(self, line: "Line | None" = None) -> None:
        from reference_engine import slots

        self.line = line
        self.slots = slots
        self.parts: dict = {}
        self.stand_ins: dict = {}
        self.files: dict = {}
        self.texts: dict = {}  # of the parts, by slot
        self.driver: types.ModuleType = types
        self.part: object = None
        self.foreign: ForeignCode | None = None
        self.room = MOST
        self.memory: dict = {}  # a driver's own, as long as the object lives

    def answer(self, request: dict) -> dict:
        answer: dict = getattr(self, "do_" + request["do"])(request)
        return answer

    def do_driver(self, request: dict) -> dict:
        self.driver_of(request["slot"])
        return {}

    def do_load(self, request: dict) -> dict:
        slot, name = request["slot"], request["file"]
        self.files[name] = slot
        self.texts[slot] = request["source"]
        self.driver_of(slot)
        module = types.ModuleType(slot)
        module.__file__ = name
        sys.modules[slot] = module
        try:
            code = compile(request["source"], name, "exec", dont_inherit=True)
        except (
            SyntaxError
        ) as error:  # no frame of the part is on the stack: the place is told all the same
            return {
                "x": {
                    **self.raised(error),
                    "frames": [[error.lineno, "<module>"]] if error.lineno else [],
                }
            }
        except BaseException as error:
            return {"x": self.raised(error)}
        if request.get("watched") and self.foreign is not None:
            self.foreign.watch(code)
        try:
            exec(code, module.__dict__)
        except BaseException as error:
            return {"x": self.raised(error)}
        self.parts[slot] = module
        return {}

    def do_stand_in(self, request: dict) -> dict:
        module = types.ModuleType(request["slot"])
        exec(compile(request["source"], "stand-in", "exec", dont_inherit=True), module.__dict__)
        self.stand_ins[request["slot"]] = module
        return {}

    def do_new(self, request: dict) -> dict:
        self.driver = self.driver_of(request["slot"])
        self.part = None
        self.memory = {}
        gc.collect(0 if gc.isenabled() else 2)
        try:
            self.part = self.driver.new(self, request["args"], request["keywords"])
        except BaseException as error:
            return {"x": self.raised(error)}
        return {}

    def do_call(self, request: dict) -> dict:
        outcomes, seen = [], []
        for method, args in request["calls"]:
            outcomes.append(self.attempt(self.driver.call, self.part, method, args))
            if request["watch"]:
                seen.append(self.driver.watch(self, self.part, request["watch"]))
        return {"calls": outcomes, "seen": seen}

    def do_trace(self, request: dict) -> dict:
        made = self.do_new(request["fresh"]) if request["fresh"] else {}
        return made or {
            "moves": [self.driver.trace(self, self.part, move) for move in request["moves"]]
        }

    def bound(self, calls: list) -> list:
        bind = getattr(self.driver, "bind", getattr)
        return [(bind(self.part, method), args) for method, args in calls]

    def do_shifts(self, request: dict) -> dict:
        try:
            return {
                "shifts": list_shift_probe.shifts(
                    self.part, self.bound(request["calls"]), request["least"]
                )
            }
        except BaseException as error:
            return {"x": self.raised(error)}

    def do_again(self, request: dict) -> dict:
        bound, collected = self.bound(request["calls"]), gc.isenabled()
        gc.disable()
        try:
            for _ in range(request["times"]):
                for method, args in bound:
                    method(*args)
        except BaseException as error:
            return {"x": self.raised(error)}
        finally:
            if collected:
                gc.enable()
        return {}

    def do_tally(self, request: dict) -> dict:
        try:
            return {"tally": counting.tally(self.bound(request["calls"]), request["most"])}
        except BaseException as error:
            return {"x": self.raised(error)}

    def do_still(self, request: dict) -> dict:
        (gc.disable if request["on"] else gc.enable)()
        return {}

    def attempt(self, function, *args) -> dict:
        """What `function(*args)` came to, as data."""
        try:
            return {"r": self.plain(function(*args))}
        except BaseException as error:
            return {"x": self.raised(error)}

    def peek(self, function, *args):
        """For snapshots: the plain value itself, or {"x": exception}."""
        try:
            return self.plain(function(*args))
        except BaseException as error:
            return {"x": self.raised(error)}

    def driver_of(self, slot: str):
        return _import("guest." + slot)

    def plain(self, value, depth: int = DEEPEST):
        """`value` copied into JSON by exact type."""
        kind = type(value)
        if value is None or kind is bool:
            return value
        if kind is int:
            return value if -LARGEST <= value <= LARGEST else {"type": "int beyond 64 bits"}
        if kind is float:
            return value if value - value == 0 else {"type": f"float {value}"}
        if kind is str:
            return {"s": value[:200].encode("utf-8", "replace").decode()}
        if kind is list or kind is tuple:
            room = MOST if depth == DEEPEST else self.room
            if len(value) > min(LONGEST, room) or not depth:
                return {"type": f"{kind.__name__} of {len(value)} items"}
            items = value[:LONGEST]  # at once: a thread may be at work on it
            self.room = room - len(items)
            others = [item for item in items if type(item) is not int]
            if items and not others and min(items) >= -LARGEST and max(items) <= LARGEST:
                return items  # most lists are: ids, tokens, tables
            below = depth - 1
            return [
                item
                if type(item) is int and -LARGEST <= item <= LARGEST
                else self.plain(item, below)
                for item in items
            ]
        if kind is self.slots.Copy:
            return {"copy": [self.plain(value.src, 0), self.plain(value.dst, 0)]}
        return {"type": type_name(kind)}

    def raised(self, error: BaseException) -> dict:
        ancestors = _ancestors(type(error))
        kinds = [
            kind.__name__
            for kind in (self.slots.OutOfBlocks, *KINDS, *LEAVING)
            if kind in ancestors
        ]
        frames, file = [], ""
        step = _traceback(error)
        while step is not None:
            code = step.tb_frame.f_code
            if code.co_filename in self.files:
                frames.append([step.tb_lineno, function_name(code.co_name)])
                file = code.co_filename
            step = step.tb_next
        try:
            text = _cut(str(error), slice(300))
        # its __str__ is the part's code too; the exception itself is reported all the same
        except BaseException:
            text = ""
        text = text.encode("utf-8", "replace").decode()
        frames = [*frames[:1], *frames[1:][-7:]]  # the call itself, and where it ended
        told = {
            "kinds": kinds,
            "type": type_name(type(error)),
            "text": text,
            "frames": frames,
            "file": file,
        }
        return (
            {**told, "got": error.got[:300].encode("utf-8", "replace").decode()}
            if type(error) is Undue
            else told
        )


def function_name(name: str) -> str:
    """As a file of Python can have it, so that a name carries nothing else: an identifier, or
    <lambda> and its like."""
    inner = name[1:-1] if name[:1] == "<" and name[-1:] == ">" else name
    return _cut(name, slice(LONGEST_NAME)) if inner.isidentifier() else "?"


def type_name(kind: type) -> str:
    name = type.__dict__["__name__"].__get__(kind)
    return str(name)[:60].encode("utf-8", "replace").decode()
