"""The exercises and their laws: what there is to grade."""
