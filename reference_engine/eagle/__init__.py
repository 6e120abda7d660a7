"""Speculation with EAGLE's layer: one decoder layer on the model's features guesses token after
token.

What it guesses grows into a tree by the part of exercise 6 and is judged by that of exercise 4.
Ideas: Li et al., arXiv 2401.15077 (features), 2406.16858 (dynamic trees), 2503.01840 (training-time
test). Importing this package imports no torch.
"""

from pathlib import Path

NODES = 8
"""Of a tree on a CPU, the root included: further rows of a product are soon no longer free."""
GROWTH = {"depth": 8, "width": 3, "guesses": 3}
"""Levels that grow, candidates of a level that are guessed on, guesses after each of them."""

LAYER = Path(__file__).resolve().parents[1] / "waiter" / "eagle"
"""layer.safetensors, config.json, figures.json and the model card of the layer that guesses for the waiter."""
