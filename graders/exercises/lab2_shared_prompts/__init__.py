"""Lab 2: what a prefix cache saves."""
