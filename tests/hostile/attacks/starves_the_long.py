"""Lets requests with a long prompt wait until nobody else is there.

L1: fail
says: Request
law: 2 head of line
"""

from right import Scheduler as Right


class Scheduler(Scheduler):  # noqa: F821
    def __init__(self, *args, **keywords):
        super().__init__(*args, **keywords)
        self.late = []

    def add(self, request):
        if len(request.prompt) > 3 and not super().idle:
            self.late.append(request)
        else:
            super().add(request)

    @property
    def idle(self):
        return super().idle and not self.late

    def plan(self):
        if super().idle and self.late:
            super().add(self.late.pop(0))
        return super().plan()
