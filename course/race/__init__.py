"""The race between engines, as tables and files."""
