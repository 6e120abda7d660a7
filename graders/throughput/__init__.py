"""Throughput: workloads, the clock, the decision rule, bounds, and cards that carry a peer's speed to another day."""
