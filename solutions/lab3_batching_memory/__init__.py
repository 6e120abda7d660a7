"""The solution of lab 3."""
