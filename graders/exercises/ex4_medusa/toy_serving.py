"""Requests served by the toy engine with the part's five functions: the text, the KV and the number
of passes."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from graders.checking.wire_tensors import sent
from graders.exercises.ex4_medusa.judge import MedusaJudge
from graders.exercises.ex4_medusa.specification import Path, PathTree
from graders.exercises.ex4_medusa.toy_model import Entry, ToyHeads, ToyModel, one_pass


@dataclass
class ToyRequest:
    """text: everything said so far; the KV of its last token is not there yet. table: the slot of
    every position."""

    number: int
    prompt: int
    due: list[int]
    text: list[int]
    table: list[int]
    passes: int = 0

    @property
    def computed(self) -> int:
        return len(self.text) - 1

    @property
    def said(self) -> list[int]:
        return self.text[self.prompt :]

    @property
    def served(self) -> bool:
        return len(self.said) >= len(self.due)


class ToyServing:
    """Serves requests to the end; raises Broken at the first wrong token, wrong KV or wasted pass."""

    def __init__(
        self, judge: MedusaJudge, choices: Sequence[Path], heads: ToyHeads, chance: random.Random
    ) -> None:
        self.judge = judge
        self.heads = heads
        self.model: ToyModel = heads.model
        self.tree = PathTree.of(choices)
        self.chance = chance
        self.pool: dict[int, Entry] = {}
        self._free = chance.sample(range(16, 800), 600)
        _, self._depth, _, self._mask = (array.nested for array in judge.build_tree(choices))

    def join(self, number: int, prompt: list[int], count: int) -> ToyRequest:
        """A request that waits for `count` tokens; the prefill has given the first of them."""
        due = self.model.greedy(prompt, count)
        request = ToyRequest(number, len(prompt), due, [*prompt, due[0]], [])
        self.seat(request)
        return request

    def seat(self, request: ToyRequest) -> None:
        """Compute the KV of what is known into fresh slots: on arrival, and after a preemption."""
        self._free += request.table
        self.chance.shuffle(self._free)
        size = request.prompt + len(request.due) + len(self.tree)
        request.table, self._free = self._free[:size], self._free[size:]
        for slot, entry in zip(request.table, self.model.text(request.text[:-1]), strict=False):
            self.pool[slot] = entry

    def step(self, requests: Sequence[ToyRequest]) -> None:
        """One forward pass for all of them."""
        slots = [
            request.table[request.computed : request.computed + len(self.tree)]
            for request in requests
        ]
        tokens = self._propose(requests)
        argmax = [
            self._forward(request, *row)
            for request, row in zip(requests, zip(tokens, slots, strict=True), strict=True)
        ]
        count, nodes, following = self._verify(tokens, argmax)
        self._move(count, nodes, following, slots)
        for row, request in enumerate(requests):
            accepted = nodes[row][1 : 1 + count[row]]
            if not 0 <= count[row] <= self.tree.height or not all(
                0 < node < len(self.tree) for node in accepted
            ):
                self._broken(
                    "verify_greedy",
                    f"Row {row}: count {count[row]} and nodes {nodes[row]} name no path.",
                )
            request.text += [tokens[row][node] for node in accepted] + [following[row]]
            request.passes += 1
            self._check_text(request)
            self._check_kv(request)

    def check_passes(self, request: ToyRequest, passes: int) -> None:
        if request.passes != passes:
            heads, tokens = f"{self.heads.kind.capitalize()} heads", len(request.due) - 1
            self._broken(
                "verify_greedy",
                f"{heads} and a tree {self.tree.height} deep: {tokens} tokens took {request.passes} passes.",
                f"{request.passes} passes",
                f"{passes} passes",
            )

    # ------------------------------------------------------------ the part's functions

    def _propose(self, requests: Sequence[ToyRequest]) -> list[list[int]]:
        roots = [request.text[-1] for request in requests]
        topk = [
            self.heads.topk(request.text[:-1], request.text[-1], self.chance)
            for request in requests
        ]
        tokens: list[list[int]] = self.judge.propose_raw(self.tree, roots, topk).nested
        return tokens

    def _forward(
        self, request: ToyRequest, tokens: Sequence[int], slots: Sequence[int]
    ) -> list[int]:
        past = [self.pool[slot] for slot in request.table[: request.computed]]
        entries = one_pass(self.model, tokens, self._depth, self._mask, past)
        self.pool.update(zip(slots, entries, strict=True))
        return [self.model.says(entry) for entry in entries]

    def _verify(
        self, tokens: list[list[int]], argmax: list[list[int]]
    ) -> tuple[list[int], list[list[int]], list[int]]:
        count, nodes, following = self.judge.greedy_raw(self.tree, tokens, argmax)
        return count.items, nodes.nested, following.items

    def _move(
        self,
        count: Sequence[int],
        nodes: Sequence[Sequence[int]],
        following: Sequence[int],
        slots: list[list[int]],
    ) -> None:
        rows = len(slots)
        verdict = [
            sent("int64", count, (rows,)),
            sent("int64", nodes, (rows, self.tree.height + 1)),
            sent("int64", following, (rows,)),
        ]
        moves = self.judge.compact_raw(verdict, slots, f"compact(verdict, slots={slots})")
        strangers = [slot for move in moves for slot in move if slot not in self.pool]
        if strangers:
            self._broken(
                "compact", f"`compact` names slot {strangers[0]}, where nothing was written."
            )
        values = [self.pool[src] for src, _ in moves]
        self.pool.update((dst, value) for (_, dst), value in zip(moves, values, strict=True))

    # ------------------------------------------------------------ judging

    def _check_text(self, request: ToyRequest) -> None:
        due = request.due[: len(request.said)]
        if request.said[: len(request.due)] != due:
            self._broken(
                "verify_greedy",
                f"Request {request.number} gets {request.said[: len(due)]}; greedy decoding says {due}.",
                str(request.said[: len(due)]),
                str(due),
            )

    def _check_kv(self, request: ToyRequest) -> None:
        for position, entry in enumerate(self.model.text(request.text[: request.computed])):
            held = self.pool.get(request.table[position])
            if held != entry:
                what = f"that of token {held[1]} at position {held[0]}" if held else "nothing"
                slot = f"slot {request.table[position]} (position {position})"
                self._broken(
                    "compact",
                    f"The text is right, but its KV is not: {slot} holds {what} instead of that of token {entry[1]}."
                    " The next pass would read it.",
                    what,
                    f"token {entry[1]} at position {position}",
                )

    def _broken(self, method: str, message: str, got: Any = "", expected: Any = "") -> NoReturn:
        self.judge.scene.broken(
            message, got=str(got) or message, expected=str(expected) or "greedy text", method=method
        )
