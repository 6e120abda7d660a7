"""The waiter: the small language model that the package trains, ships and serves.

`CHECKPOINT` is a folder in Hugging Face layout that any Llama engine loads. Importing this package
imports no torch; `corpus` and `menu` need the standard library alone.
"""

from pathlib import Path

CHECKPOINT = Path(__file__).resolve().parent / "checkpoint"
"""config.json, model.safetensors, the tokenizer, generation_config.json, figures.json and the model card."""

DRAFT = Path(__file__).resolve().parent / "draft"
"""The same for the model that guesses what the waiter says, a tenth of its size."""
