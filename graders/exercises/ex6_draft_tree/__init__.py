"""Exercise 6: its laws, its specification, and how both are tried."""
