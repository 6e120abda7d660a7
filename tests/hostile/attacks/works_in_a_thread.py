"""Returns at once and does the work in a thread that finishes later.

L1: fail
law: 1 giving back
"""

import threading
import time

from right import Right


class BlockManager(Right):
    def free(self, seq):
        def later():
            time.sleep(0.05)
            Right.free(self, seq)

        threading.Thread(target=later, daemon=True).start()
        return list(self.tables[seq])[::-1]
