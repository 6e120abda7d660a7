"""Lab 3: how many are in at once, and how long they take."""
