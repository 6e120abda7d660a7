"""Lab 4: what guessing yields."""
