"""Who guesses for a growing tree: EAGLE's layer, with keys, values and features of its own beside the engine's KV.

They lie in slots as the engine's KV does, one a token, and are found through the same block tables. So copies, shared
prefixes, forked samples and preempted requests need nothing of their own: what a slot holds depends on the text up to
its token alone. A slot whose features were never seen costs guesses that fall, and never a wrong token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from reference_engine.eagle.layer import EagleLayer
from reference_engine.model import Model
from reference_engine.request_state import RequestState
from reference_engine.slots import Chunk, Copy
from reference_engine.speculation import Drafted, Room

Guesses = tuple[Tensor, Tensor]
"""Tokens int64 and ln of their probabilities float32, `[B, W, K]`, both on the CPU."""


class Drafter(Protocol):
    """Guesses after chosen candidates, which it counts itself, as `grow` has to append them."""

    def attach(self, model: Model, room: Room) -> None:
        """The engine that it drafts for was made. Raises ValueError when it cannot."""

    def read(self, work: Sequence[tuple[Chunk, RequestState]], copies: Sequence[Copy], lookahead: int) -> None:
        """A step begins: copies of blocks, then the places that are about to be written."""

    def watch(self, known: Sequence[tuple[RequestState, Chunk, slice]], hidden: Tensor) -> None:
        """What the model made of the step's known tokens, see `Speculator.watch`."""

    def stood(self, one: Drafted, walk: Sequence[int], hidden: Tensor) -> None:
        """Guesses stood: nodes `walk` of the tree. hidden `[R, width]`, of the whole outcome."""

    def begin(self, states: Sequence[RequestState], count: int, nodes: int) -> Guesses:
        """What follows the last known token of each request, `[B, 1, count]`; `nodes` will be chosen of each tree."""

    def further(self, chosen: Tensor, count: int) -> Guesses:
        """What follows the chosen candidates `[B, W]`, `[B, W, count]`."""


@dataclass
class _Growing:
    """The trees of a step as the layer sees them: rows are places that it has read, row 0 is the root.

    state `[B, n, width]`, depth int64 `[B, n]`; seen bool `[B, n, T + nodes]`: keys that a row sees, first those of the
    text. token, row int64 `[B, M]`: of each candidate, and the row that it was guessed from.
    """

    text: int  # T
    root: Tensor  # int64 [B], its place
    key: Tensor  # [B, T + nodes, kv_heads, D]
    value: Tensor
    seen: Tensor
    state: Tensor
    depth: Tensor
    token: Tensor
    row: Tensor


class LayerDrafter:
    """Guesses with a trained layer. See `Drafter`."""

    def __init__(self, layer: EagleLayer) -> None:
        self._layer = layer
        self._growing: _Growing | None = None

    def attach(self, model: Model, room: Room) -> None:
        """Slots for every slot of the engine's pool."""
        if model.device.type != "cpu":
            raise ValueError(f"EAGLE's layer guesses on a CPU alone, and {model.name} is on {model.device}")
        config, self._size = self._layer.config, room.block_size
        slots = room.num_blocks * room.block_size
        self._features = torch.empty(slots, config.width)
        self._keys, self._values = (torch.empty(slots, config.kv_heads, config.head_width) for _ in range(2))
        self._read = np.zeros(slots, dtype=bool)  # whose keys and values are those of the text

    @torch.no_grad()
    def read(self, work: Sequence[tuple[Chunk, RequestState]], copies: Sequence[Copy], lookahead: int) -> None:
        """See `Drafter`."""
        for copy in copies:
            for pool in (self._features, self._keys, self._values, torch.from_numpy(self._read)):
                blocks = pool.view(-1, self._size, *pool.shape[1:])
                blocks[copy.dst] = blocks[copy.src]
        for chunk, state in work:
            end = min(chunk.start + chunk.length + lookahead * chunk.samples, len(state.table) * self._size)
            self._read[self._slots(state, chunk.start, end)] = False

    def watch(self, known: Sequence[tuple[RequestState, Chunk, slice]], hidden: Tensor) -> None:
        """See `Drafter`."""
        rows = [row for _, _, each in known for row in range(each.start, each.stop)]
        slots = [self._slots(state, chunk.start, chunk.start + chunk.length) for state, chunk, _ in known]
        self._keep(np.concatenate(slots), hidden[rows] if len(rows) < len(hidden) else hidden)

    def stood(self, one: Drafted, walk: Sequence[int], hidden: Tensor) -> None:
        """See `Drafter`."""
        if len(walk) > 1:
            rows = [one.rows.start + node for node in walk[1:]]
            self._keep(np.array(one.slots[1 : len(walk)]), hidden[rows])

    @torch.no_grad()
    def begin(self, states: Sequence[RequestState], count: int, nodes: int) -> Guesses:
        """See `Drafter`."""
        slots = [self._slots(state, 0, len(state.tokens)) for state in states]
        self._catch_up(states, slots)
        batch, width, longest = len(states), self._layer.config.width, max(map(len, slots))
        held, lengths = np.zeros((batch, longest + nodes), dtype=np.int64), [len(each) for each in slots]
        for row, each in zip(held, slots, strict=True):
            row[: len(each)] = each
        at = torch.from_numpy(held).flatten()
        key, value = (pool[at].view(*held.shape, *pool.shape[1:]) for pool in (self._keys, self._values))
        root = torch.tensor(lengths) - 1
        seen = (torch.arange(held.shape[1]) <= root[:, None])[:, None]  # [B, 1, T + nodes]
        none = torch.empty(batch, 0, dtype=torch.int64)
        self._growing = _Growing(longest, root, key, value, seen[:, :0], torch.empty(batch, 0, width), none, none, none)
        before = [int(each[-2]) for each in slots]
        tokens = torch.tensor([state.tokens[-1] for state in states])
        x = self._layer.mixed(tokens, self._features[before])
        return self._guess(x.view(batch, 1, -1), seen, torch.zeros(batch, 1, dtype=torch.int64), count)

    @torch.no_grad()
    def further(self, chosen: Tensor, count: int) -> Guesses:
        """See `Drafter`."""
        now = self._growing
        assert now is not None, "nothing has begun to grow"
        batch, wide = chosen.shape
        row = now.row.gather(1, chosen)  # [B, W]: of the parent
        states = now.state.gather(1, row[:, :, None].expand(-1, -1, now.state.shape[2]))
        depth = now.depth.gather(1, row) + 1
        x = self._layer.mixed(now.token.gather(1, chosen).flatten(), states.flatten(0, 1))
        key, value = self._layer.keys_values(x, self._places(now, depth))
        first = now.text + now.state.shape[1] - 1  # rows but the root have keys behind the text's
        now.key[:, first : first + wide] = key.view(batch, wide, *key.shape[1:])
        now.value[:, first : first + wide] = value.view(batch, wide, *value.shape[1:])
        seen = now.seen.gather(1, row[:, :, None].expand(-1, -1, now.seen.shape[2])).clone()
        seen[:, :, first : first + wide] |= torch.eye(wide, dtype=torch.bool)
        return self._guess(x.view(batch, wide, -1), seen, depth, count)

    def _guess(self, x: Tensor, seen: Tensor, depth: Tensor, count: int) -> Guesses:
        """x `[B, W, width]` read; the best guesses after each, which are the next candidates."""
        now, (batch, wide) = self._growing, depth.shape
        assert now is not None
        query = self._layer.queries(x.flatten(0, 1), self._places(now, depth)).view(batch, wide, -1, now.key.shape[3])
        read = F.scaled_dot_product_attention(
            query.transpose(1, 2),  # [B, heads, W, D]
            now.key.transpose(1, 2),  # [B, kv_heads, T + nodes, D]
            now.value.transpose(1, 2),
            seen[:, None],
            scale=1.0,
            enable_gqa=True,
        )
        states = self._layer.states(x.flatten(0, 1), read.transpose(1, 2).reshape(batch * wide, -1))
        best = self._layer.logits(states).log_softmax(-1).view(batch, wide, -1).topk(count)
        row = now.state.shape[1] + torch.arange(wide).repeat_interleave(count).expand(batch, -1)
        now.state, now.depth = torch.cat((now.state, states.view_as(x)), 1), torch.cat((now.depth, depth), 1)
        now.seen = torch.cat((now.seen, seen), 1)
        now.token, now.row = torch.cat((now.token, best.indices.flatten(1)), 1), torch.cat((now.row, row), 1)
        return best.indices.clone(), best.values.clamp(max=0.0)

    def _catch_up(self, states: Sequence[RequestState], slots: Sequence[np.ndarray]) -> None:
        """Keys and values of every known token that has none yet, the last one too."""
        places = [np.flatnonzero(~self._read[each]) for each in slots]
        tokens = [state.tokens[place] for state, each in zip(states, places, strict=True) for place in each]
        before = np.concatenate([own[np.maximum(each - 1, 0)] for own, each in zip(slots, places, strict=True)])
        at = np.concatenate(places)
        features = self._features[torch.from_numpy(before)].masked_fill(torch.from_numpy(at == 0)[:, None], 0.0)
        key, value = self._layer.keys_values(self._layer.mixed(torch.tensor(tokens), features), torch.from_numpy(at))
        where = np.concatenate([own[each] for own, each in zip(slots, places, strict=True)])
        self._keys[torch.from_numpy(where)], self._values[torch.from_numpy(where)] = key, value
        self._read[where] = True

    def _places(self, now: _Growing, depth: Tensor) -> Tensor:
        """Where candidates of these depths `[B, W]` would stand, flat; those beyond the context are never kept."""
        return (now.root[:, None] + depth).clamp(max=self._layer.config.positions - 1).flatten()

    def _keep(self, slots: np.ndarray, hidden: Tensor) -> None:
        self._features[torch.from_numpy(slots)] = hidden[:, : self._features.shape[1]]

    def _slots(self, state: RequestState, start: int, end: int) -> np.ndarray:
        """The slots of a request's tokens [start, end)."""
        places, table = np.arange(start, end), np.array(state.table, dtype=np.int64)
        return np.asarray(table[places // self._size] * self._size + places % self._size)
