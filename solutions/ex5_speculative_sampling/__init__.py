"""Exercise 5, solved."""
