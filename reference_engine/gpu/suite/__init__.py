"""What `python -m reference_engine.gpu.suite` runs: checks and measurements on a GPU, told in one
card of JSON."""
