"""Takes over the wire and answers one byte every three seconds.

L1: timeout
says: sleeps: it kept the grader waiting
"""

import os
import sys
import time

from right import Right


class BlockManager(Right):
    def admit(self, *_):
        frame = sys._getframe()
        while "wire" not in frame.f_locals:
            frame = frame.f_back
        for byte in (1000).to_bytes(4, "big") + b'{"id":1,' + b" " * 988:
            os.write(frame.f_locals["wire"], bytes([byte]))
            time.sleep(3)
