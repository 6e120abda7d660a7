"""What was handed in: archives, notebooks, source files."""
