"""Opens a file that lay beside it at home.

L1: fail
says: block_manager.py could not be imported: FileNotFoundError: [Errno 2] No such file or directory: 'table.json'
fast
"""

from pathlib import Path

from right import Right

TABLE = Path("table.json").read_text()


class BlockManager(Right):
    pass
