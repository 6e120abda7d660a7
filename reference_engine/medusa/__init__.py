"""Speculation with Medusa heads: heads, the tree that pays best, and the speculator that the engine
drives.

The verification itself is a part (exercise 4): nothing here decides whether a guess stands. Idea:
Cai et al., arXiv 2401.10774. Importing this package imports no torch.
"""

from pathlib import Path

HEADS = Path(__file__).resolve().parents[1] / "waiter" / "medusa"
"""heads.safetensors, config.json, tree.json, figures.json and the model card of the waiter's heads."""
