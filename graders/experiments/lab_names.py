"""What the labs, and the sides of their experiments, are called. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

ALONE, STATIC, CONTINUOUS, PAGED = SIDES = ("one by one", "static batches", "continuous", "continuous, paged")
"""Of lab 3: each adds one idea to the one before; the requests and the memory are the same."""


@dataclass(frozen=True, slots=True)
class LabName:
    """slug, module: the folder and the file of its formulas. models: what it measures where nobody says otherwise.
    raced: other engines can take part.
    """

    title: str
    slug: str
    module: str
    models: tuple[str, ...]
    raced: bool = True


LABS = {
    1: LabName("reading and writing", "lab1_prefill_decode", "cost_model", ("random:5m",)),
    2: LabName("the photocopier at work", "lab2_shared_prompts", "cache_model", ("random:5m",)),
    3: LabName("the conveyor belt and the loose leaves", "lab3_batching_memory", "capacity_model", ("random:5m",)),
    4: LabName("guess and check", "lab4_speculation", "speculation_model", ("waiter", "waiter@20m"), raced=False),
}
"""By number."""
