"""The solution of exercise 3."""
