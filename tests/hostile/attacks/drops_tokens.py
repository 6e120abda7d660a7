"""Keeps only the first of several tokens that a step brought, to have less to do.

L1: fail
says: Request
law: 2 several tokens
"""

from right import Scheduler as Right


class Scheduler(Scheduler):  # noqa: F821
    def commit(self, plan, tokens):
        return super().commit(plan, {id: said[:1] for id, said in tokens.items()})
