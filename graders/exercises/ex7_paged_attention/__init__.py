"""Exercise 7: its laws, its specification, and how both are tried."""
