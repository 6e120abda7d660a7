"""Makes twenty thousand files where it stands.

L1: crash
L3: blocked, pass
"""

import time

from right import Right, tried


def escape():
    for number in range(20_000):
        open(f"file-{number}", "w").close()
    time.sleep(0.5)


class BlockManager(Right):
    made = False

    def admit(self, seq, num_tokens, shared=()):
        if not BlockManager.made:
            BlockManager.made = True
            tried(escape)
        return super().admit(seq, num_tokens, shared)
