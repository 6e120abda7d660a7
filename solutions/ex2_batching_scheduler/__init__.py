"""The solution of exercise 2."""
