"""The one table of exercises: which file a learner writes, and which slot of the engine it fills."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Part:
    """What a learner writes for one exercise.

    slug: folder name under exercises/ and solutions/. class_name: the class the file must define; empty when the part
    is a module of functions (exercise 4).
    """

    number: int
    name: str
    slug: str
    slot: str
    file_name: str
    class_name: str


PARTS = (
    Part(1, "paged allocation", "ex1_paged_allocation", "block_manager", "block_manager.py", "BlockManager"),
    Part(2, "continuous batching", "ex2_batching_scheduler", "scheduler", "scheduler.py", "Scheduler"),
    Part(3, "prefix cache", "ex3_prefix_cache", "prefix_cache", "prefix_cache.py", "PrefixCache"),
    Part(4, "Medusa verification", "ex4_medusa", "medusa", "medusa.py", ""),
)
