"""Exercise 4: the laws of Medusa verification, and what it has to be like."""
