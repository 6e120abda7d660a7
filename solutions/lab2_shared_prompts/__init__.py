"""The solution of lab 2."""
