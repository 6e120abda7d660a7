"""Returns a list that a thread goes on writing to while it is read.

L1: fail
"""

import threading

from right import Right

growing = [1]


def grow():
    while len(growing) < 10**8:
        growing.append(1)


class BlockManager(Right):
    def admit(self, seq, num_tokens, shared=()):
        threading.Thread(target=grow, daemon=True).start()
        return growing
