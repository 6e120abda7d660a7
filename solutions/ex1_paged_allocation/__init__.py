"""The solution of exercise 1."""
