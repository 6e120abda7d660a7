"""Looks for secrets of the machine in its own environment.

L1: blocked, pass
"""

import os

from right import Right, tried


def escape():
    known = {
        "PATH",
        "LANG",
        "HOME",
        "TMPDIR",
        "LC_CTYPE",
        "PWD",
        "OMP_WAIT_POLICY",
        "INFERENCE_KITCHEN_NATIVE",
    }
    others = [
        name
        for name in os.environ
        if name not in known and not name.endswith(("_HOME", "_DIR", "_PATH", "CONFIGDIR"))
    ]
    tokens = [
        name for name in os.environ if name.startswith(("GITHUB_", "ACTIONS_", "RUNNER_", "AWS_"))
    ]
    if not others and not tokens:
        raise LookupError("nothing of the machine's")
    print(others, tokens)


tried(escape)


class BlockManager(Right):
    pass
