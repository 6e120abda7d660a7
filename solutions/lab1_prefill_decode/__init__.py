"""The solution of lab 1."""
