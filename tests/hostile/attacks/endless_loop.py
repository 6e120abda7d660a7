"""Loops for ever and ignores every signal it can.

L1: timeout
says: did not come back
"""

import signal

from right import Right

for number in range(1, 32):
    if number not in (signal.SIGKILL, signal.SIGSTOP):
        signal.signal(number, signal.SIG_IGN)


class BlockManager(Right):
    def admit(self, seq, num_tokens, shared=()):
        while True:
            pass
