"""What a law has in hand while it is tried: calls of the part, random cases, shrinking, failures."""
