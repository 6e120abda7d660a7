"""Sends the reply to the next request before it is asked.

L1: invalid
"""

import os
import stat
import threading
import time

from right import Right


def reply_early():
    time.sleep(0.001)
    for descriptor in range(3, 64):
        try:
            if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                os.write(descriptor, b'\0\0\0\x08{"id":9}')
        except OSError:
            continue


threading.Thread(target=reply_early).start()


class BlockManager(Right):
    pass
