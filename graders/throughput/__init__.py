"""Throughput: workloads, the clock, the rule, bounds, and cards that carry another engine's speed
to a later day."""
