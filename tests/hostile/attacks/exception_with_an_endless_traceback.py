"""Raises an exception whose traceback never ends, and whose text is none.

L1: fail
says: `admit` raised Endless
fast
"""

from right import Right


class Step:
    tb_lineno = 1

    @property
    def tb_next(self):
        return self

    @property
    def tb_frame(self):
        raise SystemExit


class Text(str):
    def __getitem__(self, place):
        raise SystemExit

    def encode(self, *_):
        return 7


class Endless(Exception):
    __traceback__ = Step()

    def __str__(self):
        return Text("for ever")


class BlockManager(Right):
    def admit(self, *_):
        raise Endless
