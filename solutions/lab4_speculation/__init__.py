"""The solution of lab 4."""
