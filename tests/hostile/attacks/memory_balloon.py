"""Takes memory as fast as it can.

L1: crash
says: memory
"""

from right import Right

held = []


class BlockManager(Right):
    def admit(self, seq, num_tokens, shared=()):
        while True:
            held.append(bytearray(64 << 20))
