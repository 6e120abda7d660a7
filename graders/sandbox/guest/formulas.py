"""What the drivers of the labs share inside the worker: functions of numbers, called with arguments
made from JSON.

An argument crosses as itself, or as [kind, items]: "list", "tuple" and "range", "map" and "view" (a
dict, or a mapping that is none) as pairs, "shape" as its fields. A list that a function returned
comes back as [0, items], a tuple as [1, items].

  new   slot
  call  function, [arguments, keywords]: [what it returned, whether it changed its arguments]
"""

import types

from reference_engine.slots import Shape

MAKE: dict = {
    "list": list,
    "tuple": tuple,
    "range": lambda ends: range(*ends),
    "map": dict,
    "view": lambda pairs: types.MappingProxyType(dict(pairs)),
    "shape": lambda fields: Shape(*fields),
}
DEEPEST = 3


def new(worker_parts, args, keywords):
    return worker_parts.parts[args[0]]


def watch(worker_parts, part, wanted):
    return None


def call(part, method, args):
    function = getattr(part, method)
    given, keywords = (
        [_made(item) for item in args[0]],
        {name: _made(item) for name, item in args[1].items()},
    )
    before = _copied([given, keywords])
    result = _told(function(*given, **keywords))
    return [result, _copied([given, keywords]) != before]


def _made(data):
    """The argument; keys of a mapping and items of a sequence may be sequences in turn."""
    if type(data) is not list:
        return data
    kind, items = data
    return MAKE[kind]([_made(item) for item in items])


def _copied(value):
    """Lists and dicts in it as they are now; everything else cannot be changed."""
    if type(value) in (list, tuple):
        return [_copied(item) for item in value]
    return {key: _copied(item) for key, item in value.items()} if type(value) is dict else value


def _told(value, depth=DEEPEST):
    if type(value) not in (list, tuple) or not depth:
        return value
    return [int(type(value) is tuple), [_told(item, depth - 1) for item in value]]
