"""Refuses everything with an exception that is every exception of the contract at once.

L1: fail
says: raised AnyOfThem where
law: 1 refusals
fast
"""

from right import Right


class AnyOfThem(OutOfBlocks, KeyError, ValueError):  # noqa: F821
    pass


def refusing(method):
    def call(self, *args, **keywords):
        try:
            return method(self, *args, **keywords)
        except Exception:
            raise AnyOfThem from None

    return call


class BlockManager(Right):
    pass


for name in (
    "admit",
    "extend",
    "truncate",
    "fork",
    "free",
    "retain",
    "release",
    "table",
    "length",
    "blocks_needed",
):
    setattr(BlockManager, name, refusing(getattr(Right, name)))
