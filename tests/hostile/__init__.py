"""Hostile and broken submissions, each with the outcome that it must get. `make hostile` runs them
all."""
