"""Graders: checks against executable specifications, in isolated workers, ending in one result object.

Nothing here knows a terminal. Importing this package imports neither torch nor hypothesis.
"""
