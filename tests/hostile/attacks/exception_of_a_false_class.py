"""Raises an exception that says of itself to be of whatever class it is asked for.

L1: fail
says: raised Chameleon
law: 1 refusals
"""

from right import Right

asked = []


class Chameleon(BaseException):
    @property
    def __class__(self):
        asked.append(1)
        return (KeyError, ValueError)[len(asked) % 2]

    @classmethod
    def mro(cls):
        return [cls, KeyError, ValueError]


def refusing(method):
    def call(self, *args, **keywords):
        try:
            return method(self, *args, **keywords)
        except Exception:
            raise Chameleon from None

    return call


class BlockManager(Right):
    pass


for name in ("admit", "extend", "truncate", "fork", "free", "retain", "release"):
    setattr(BlockManager, name, refusing(getattr(Right, name)))
