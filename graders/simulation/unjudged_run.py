"""An engine without a model that judges nobody: parts of the course serve, and what they do is
counted.

For figures that do not depend on tokens. It counts as `reference_engine.metrics.Metrics` does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from reference_engine.kv_manager import KVManager
from reference_engine.parts import load_part
from reference_engine.slots import Request

SAID = 0  # the token that everybody is given


def part(slot: str) -> Any:
    """The course's own part for a slot."""
    import solutions
    from graders.registry.parts import part_in

    entry = part_in(slot)
    return load_part(Path(solutions.__path__[0], entry.slug, entry.file_name), slot)


class UnjudgedEngine:
    """One engine, its cache kept from one `serve` to the next. parts: classes by slot, as `part`
    gives them.

    steps: runs of the model so far. computed: tokens given KV in them.
    """

    def __init__(
        self, parts: Mapping[str, Any], *, num_blocks: int, block_size: int, seats: int, budget: int
    ) -> None:
        cache = parts["prefix_cache"](block_size) if "prefix_cache" in parts else None
        blocks = parts["block_manager"](num_blocks, block_size)
        self._kv = KVManager(blocks, cache, block_size=block_size, num_blocks=num_blocks)
        self._scheduler = parts["scheduler"](self._kv, max_seqs=seats, token_budget=budget)
        self._prompts: list[list[int]] = []
        self.steps = self.computed = 0

    def serve(self, asked: Sequence[tuple[Sequence[int], int]]) -> None:
        """Requests that come at once, (prompt, max_new) each, to their end."""
        for prompt, wanted in asked:
            self._scheduler.add(Request(len(self._prompts), list(prompt), wanted))
            self._prompts.append(list(prompt))
        while not self._scheduler.idle:
            self._step()

    def _step(self) -> None:
        plan = self._scheduler.plan()
        self._scheduler.commit(plan, {chunk.id: [SAID] for chunk in plan.chunks if chunk.samples})
        for chunk in plan.chunks:
            prompt = self._prompts[chunk.id]
            if chunk.length > 1 and chunk.start + chunk.length >= len(prompt):
                self._kv.offer(chunk.id, prompt)
        self.steps += 1
        self.computed += sum(chunk.length for chunk in plan.chunks)
