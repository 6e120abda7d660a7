"""Opens a file that lay beside it at home.

L1: fail
says: 'table.json' in line @LINE@ (one file is handed in, and nothing beside it).
fast
"""

from pathlib import Path

from right import Right

TABLE = Path("table.json").read_text()  # here


class BlockManager(Right):
    pass
