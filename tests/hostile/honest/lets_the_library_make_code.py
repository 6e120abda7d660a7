"""Dataclasses, named tuples, hints and a literal expression: code that the library makes, and the part's own text.

L1: pass
"""

import dataclasses
import functools
import statistics
import traceback
import typing
from collections import namedtuple

from right import Right


@dataclasses.dataclass(frozen=True)
class Taken:
    block: "int" = 1


Pair = namedtuple("Pair", "a b")


class Named(typing.NamedTuple):
    a: int = 0


@functools.singledispatch
def size(thing):
    return 0


@size.register
def _(thing: int):
    return eval("1 + 1")


typing.get_type_hints(Taken)
size(statistics.mode([1, 1]))
try:
    1 / 0
except ZeroDivisionError:
    traceback.format_exc()


class BlockManager(Right):
    pass
