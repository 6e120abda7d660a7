"""Baseline cards recorded on the classes of machine that the course was measured on, one JSON file
each."""
