"""The parts before anyone has improved them: contiguous reservation, static batching, no prefix
cache.

Right in every token and wasteful in everything else: each lesson begins here, and its gain is
measured against it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reference_engine.naive.block_manager import BlockManager
from reference_engine.naive.prefix_cache import PrefixCache
from reference_engine.naive.scheduler import Scheduler

if TYPE_CHECKING:
    from reference_engine.parts import Parts

__all__ = ["BlockManager", "PrefixCache", "Scheduler", "parts"]


def parts() -> Parts:
    """The naive part for every slot; no speculation."""
    from reference_engine.parts import Parts

    return Parts(
        block_manager=BlockManager, scheduler=Scheduler, prefix_cache=PrefixCache, medusa=None
    )
