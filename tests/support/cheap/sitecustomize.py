"""Python imports this at every start of a process that finds it: see `cheap_judge`."""

import os
import sys

sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import cheap_judge

cheap_judge.install()
