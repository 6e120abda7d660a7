"""What `python -m reference_engine.gpu_suite` runs: checks and measurements on a GPU, told in one card of JSON."""
