"""Exercise 1: the laws of the block manager, and what it has to be like."""
