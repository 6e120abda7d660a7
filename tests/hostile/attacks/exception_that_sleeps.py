"""Raises an exception that sleeps for ever when it is asked for its text.

L1: timeout
says: sleeps: it kept the grader waiting
"""

import time

from right import Right


class Sleepy(Exception):
    def __str__(self):
        time.sleep(10**6)


class BlockManager(Right):
    def admit(self, *_):
        raise Sleepy
