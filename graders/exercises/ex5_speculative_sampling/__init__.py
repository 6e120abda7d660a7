"""Exercise 5: the laws of speculative sampling, and what it has to be like."""
