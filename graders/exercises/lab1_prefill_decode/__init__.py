"""Lab 1: what a step costs."""
