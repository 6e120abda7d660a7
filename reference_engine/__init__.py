"""A small LLM inference engine that is complete, fast and made of replaceable parts.

Importing this package imports no torch: contracts live in `reference_engine.slots`, everything
heavy is imported where it is used.
"""

import os

# Read by the OpenMP runtime when torch is imported. Its idle threads would spin between the small
# operations of a small model, and where other processes want the same cores that takes ten times as
# long.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
