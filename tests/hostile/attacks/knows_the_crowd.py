"""A scheduler that plans nothing when so many run that only its speed can be meant.

L1: fail
says: tokens together
law: 2 swift plan
"""

from right import Scheduler as Right

from reference_engine.slots import Plan


class Scheduler(Scheduler):  # noqa: F821
    def __init__(self, kv, **keywords):
        super().__init__(kv, **keywords)
        self.crowded = keywords["max_seqs"] >= 64

    def plan(self):
        return Plan((), (), ()) if self.crowded else super().plan()


Right = Scheduler
