"""The engine's own benchmarks, run with `python -m`."""
