"""What the labs, and the sides of their experiments, are called. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from graders.registry.parts import part_of

ALONE, STATIC, CONTINUOUS, PAGED = SIDES = (
    "one by one",
    "static batches",
    "continuous",
    "continuous, paged",
)
"""Of lab 3: each adds one idea to the one before; the requests and the memory are the same."""


@dataclass(frozen=True, slots=True)
class LabName:
    """slug, module: the folder and the file of its formulas. models: what it measures where nobody
    says otherwise. raced: other engines can take part.
    """

    title: str
    slug: str
    module: str
    models: tuple[str, ...]
    raced: bool = True


def _lab(number: int, title: str, *models: str, raced: bool = True) -> LabName:
    formulas = part_of(f"lab{number}")
    return LabName(title, formulas.slug, formulas.file_name.removesuffix(".py"), models, raced)


LABS = {
    1: _lab(1, "reading and writing", "random:5m"),
    2: _lab(2, "the photocopier at work", "random:5m"),
    3: _lab(3, "the conveyor belt and the loose leaves", "random:5m"),
    4: _lab(4, "guess and check", "waiter", "waiter@20m", raced=False),
}
"""By number."""
