"""Who guesses for a growing tree: EAGLE's layer, with keys, values and features of its own beside
the engine's KV.

They lie in slots as the engine's KV does, one a token, and are found through the same block tables.
So copies, shared prefixes, forked samples and preempted requests need nothing of their own: what a
slot holds depends on the text up to its token alone. A slot whose features were never seen costs
guesses that fall, and never a wrong token.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from reference_engine.eagle.layer import EagleLayer
from reference_engine.eagle.layer_pass import TorchLayerPass
from reference_engine.growing_trees import GrowingTrees, GrowthPlan, KeptTrees
from reference_engine.layer_pass import LayerPass
from reference_engine.layer_rows import Floats, Integers, LayerRows
from reference_engine.model import Model
from reference_engine.native.layer_pass import NativeLayerPass
from reference_engine.request_state import RequestState
from reference_engine.slots import Chunk, Copy, Growth
from reference_engine.speculation import Drafted, Room

Guesses = tuple[Tensor, Tensor]
"""Tokens int64 and ln of their probabilities float32, `[B, W, K]`, both on the CPU."""


class Drafter(Protocol):
    """Guesses after chosen candidates, which it counts itself, as `grow` has to append them."""

    def attach(self, model: Model, room: Room) -> None:
        """The engine that it drafts for was made. Raises ValueError when it cannot."""

    def read(
        self, work: Sequence[tuple[Chunk, RequestState]], copies: Sequence[Copy], lookahead: int
    ) -> None:
        """A step begins: copies of blocks, then the places that are about to be written."""

    def watch(self, known: Sequence[tuple[RequestState, Chunk, slice]], hidden: Tensor) -> None:
        """What the model made of the step's known tokens, see `Speculator.watch`."""

    def stood(self, one: Drafted, walk: Sequence[int], hidden: Tensor) -> None:
        """Guesses stood: nodes `walk` of the tree. hidden `[R, width]`, of the whole outcome."""

    def begin(self, states: Sequence[RequestState], count: int, nodes: int) -> Guesses:
        """What follows the last known token of each request, `[B, 1, count]`; `nodes` will be
        chosen of each tree."""

    def further(self, chosen: Tensor, count: int) -> Guesses:
        """What follows the chosen candidates `[B, W]`, `[B, W, count]`."""


@runtime_checkable
class GrowingDrafter(Drafter, Protocol):
    """One that grows whole trees as well."""

    def grow(self, states: Sequence[RequestState], plan: GrowthPlan, due: float) -> KeptTrees:
        """Whole trees, as the part of exercise 6 grows them. due: see `LayerPass`."""

    def growth(self) -> Growth:
        """What grew last."""


class LayerDrafter:
    """Guesses with a trained layer. See `GrowingDrafter`.

    Behind the slots of the engine's pool lie further ones, in which trees grow: so many blocks a
    seat. A table of the layer is the engine's up to the last known token, and then goes on there.
    """

    def __init__(self, layer: EagleLayer) -> None:
        self._layer = layer
        self._trees: GrowingTrees | None = None

    def attach(self, model: Model, room: Room) -> None:
        """Slots for every slot of the engine's pool."""
        if model.device.type != "cpu":
            raise ValueError(
                f"EAGLE's layer guesses on a CPU alone, and {model.name} is on {model.device}"
            )
        self._room, self._size, self._beyond = room, room.block_size, 0
        self._features = np.zeros(
            (room.num_blocks * room.block_size, self._layer.config.width), np.float32
        )
        # whose keys are those of the text
        self._read = np.zeros((room.num_blocks, room.block_size), dtype=bool)
        self._lay_out(0)

    def read(
        self, work: Sequence[tuple[Chunk, RequestState]], copies: Sequence[Copy], lookahead: int
    ) -> None:
        """See `Drafter`."""
        if copies:
            features = self._features.reshape(-1, self._size, self._features.shape[1])
            for copy in copies:
                features[copy.dst], self._read[copy.dst] = features[copy.src], self._read[copy.src]
            self._pass.copy(copies)
        flags = self._read.reshape(-1)
        for chunk, state in work:
            end = min(
                chunk.start + chunk.length + lookahead * chunk.samples,
                len(state.table) * self._size,
            )
            flags[self._slots(state, chunk.start, end)] = False

    def watch(self, known: Sequence[tuple[RequestState, Chunk, slice]], hidden: Tensor) -> None:
        """See `Drafter`."""
        states, width = hidden.float().numpy(), self._features.shape[1]
        for state, chunk, rows in known:
            slots = self._slots(state, chunk.start, chunk.start + chunk.length)
            self._features[slots] = states[rows, :width]

    def stood(self, one: Drafted, walk: Sequence[int], hidden: Tensor) -> None:
        """See `Drafter`."""
        if len(walk) > 1:
            rows = [one.rows.start + node for node in walk[1:]]
            self._features[one.slots[1 : len(walk)]] = hidden.float().numpy()[
                rows, : self._features.shape[1]
            ]

    def begin(self, states: Sequence[RequestState], count: int, nodes: int) -> Guesses:
        """See `Drafter`."""
        trees, rows = self._begun(states, count, nodes)
        found = self._pass.guess(rows, count)
        trees.append(*found)
        return _guesses(found, len(states))

    def further(self, chosen: Tensor, count: int) -> Guesses:
        """See `Drafter`."""
        assert self._trees is not None and self._trees.count == count, (
            "no such tree has begun to grow"
        )
        return _guesses(self._pass.guess_on(self._trees, chosen.numpy()), len(chosen))

    def grow(self, states: Sequence[RequestState], plan: GrowthPlan, due: float) -> KeptTrees:
        """See `GrowingDrafter`."""
        # which may make a new pass
        trees, rows = self._begun(states, plan.guesses, sum(plan.widths))
        return self._pass.grow(trees, rows, plan, due)

    def growth(self) -> Growth:
        """See `GrowingDrafter`."""
        trees = self._trees
        assert trees is not None, "nothing has begun to grow"
        token, value = (
            torch.from_numpy(each[:, : trees.found].copy()) for each in (trees.token, trees.value)
        )
        return Growth(token, torch.from_numpy(trees.parent), torch.from_numpy(trees.depth), value)

    def _begun(
        self, states: Sequence[RequestState], count: int, nodes: int
    ) -> tuple[GrowingTrees, LayerRows]:
        """Trees that are to have so many nodes beyond the root, and what is read of their texts
        first."""
        if nodes > self._beyond:
            self._lay_out(nodes)
        batch, size = len(states), 1 + nodes
        spans, slots = np.zeros((batch, 6), np.int32), np.empty((batch, size), np.int64)
        before, tokens = list[Integers](), list[int]()
        for row, state in enumerate(states):
            assert state.seat is not None
            first, places = self._unread(state, size)
            known = len(state.tokens) - first
            spans[row], slots[row] = (state.seat, first, known, 1, 1, row * size), places[known:]
            before.append(places[:known])
            tokens += state.tokens[first:]
        self._read.reshape(-1)[np.concatenate([*(each[1:] for each in before), slots[:, 0]])] = True
        self._trees = trees = GrowingTrees(spans, slots, count)
        return trees, trees.rows(np.array(tokens), np.concatenate(before), slots[:, 0].copy())

    def _unread(self, state: RequestState, size: int) -> tuple[int, Integers]:
        """The first known token without keys, the last one at the latest; slots of the places from
        the one before it on, `size` more than are known but for the last. The slot before the first
        place is -1."""
        assert state.seat is not None
        table, end = self._tables[state.seat], len(state.tokens)
        last = (end - 1) // self._size
        table[: last + 1] = state.table[: last + 1]
        table[last + 1 : last + 1 + len(self._scratch[0])] = self._scratch[state.seat]
        read = self._read[table[: last + 1]].reshape(-1)[: end - 1]
        first = end - 1 if read.all() else int(read.argmin())
        places = np.arange(first - 1, end - 1 + size)
        slots: Integers = (
            table[places // self._size].astype(np.int64) * self._size + places % self._size
        )
        if first == 0:
            slots[0] = -1
        return first, slots

    def _lay_out(self, nodes: int) -> None:
        """Room for trees of so many nodes beyond the root. Keys and values are forgotten."""
        blocks, size, seats = self._room.num_blocks, self._size, self._room.seats
        extra = -(-nodes // size) + 1 if nodes else 0
        known = self._features[: blocks * size]
        self._features = np.concatenate(
            (known, np.zeros((seats * extra * size, known.shape[1]), np.float32))
        )
        self._scratch = blocks + np.arange(seats * extra).reshape(seats, extra)
        self._tables = np.zeros((seats, self._room.width + extra), np.int32)
        self._read[:] = False
        self._beyond, packed = nodes, self._layer.compiled
        if packed is None:
            self._pass: LayerPass = TorchLayerPass(self._layer, self._tables, self._features, size)
        else:
            self._pass = NativeLayerPass(packed, self._tables, self._features, size)

    def _slots(self, state: RequestState, start: int, end: int) -> Integers:
        """The slots of a request's tokens [start, end)."""
        size, first = self._size, start // self._size
        table, places = (
            np.array(state.table[first : -(-end // size)], np.int64),
            np.arange(start, end),
        )
        return np.asarray(table[places // size - first] * size + places % size)


def _guesses(found: tuple[Integers, Floats], trees: int) -> Guesses:
    """`[wanted, count]` as the trees', `[B, W, count]`."""
    tokens, logs = (torch.from_numpy(each.reshape(trees, -1, each.shape[1])) for each in found)
    return tokens, logs
