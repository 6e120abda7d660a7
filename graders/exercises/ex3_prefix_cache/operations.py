"""A trace of calls before it is played: everything that a right cache answers is known beforehand.

Blocks are numbered by the script in the order in which they are brought; a handle goes by the number of the move that
returned it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from graders.exercises.ex3_prefix_cache.specification import Namespace, PrefixCacheSpec


@dataclass(frozen=True, slots=True)
class PrefixCacheCall:
    """One call. handle: the one it returns or is about. number: of blocks, for evict.

    clears: the caller empties the lists that it handed over, when the call has returned. refused: it has to be.
    """

    method: str
    tokens: tuple[int, ...] = ()
    blocks: tuple[int, ...] = ()
    namespace: Namespace = None
    handle: int = 0
    number: int = 0
    clears: bool = False
    refused: bool = False

    def to_wire(self) -> list[Any]:
        name = None if self.namespace is None else {"name": self.namespace}
        if self.method == "match":
            return ["match", self.tokens, name, self.handle, self.clears]
        if self.method == "insert":
            return ["insert", self.tokens, self.blocks, name, self.handle, self.clears]
        return [self.method, self.number if self.method == "evict" else self.handle]

    def __str__(self) -> str:
        name = "" if self.namespace is None else f", namespace={self.namespace!r}"
        tokens, blocks = ("t := ", "b := ") if self.clears else ("", "")
        if self.method == "match":
            return f"match({tokens}{_short(self.tokens)}{name})"
        if self.method == "insert":
            return f"insert({tokens}{_short(self.tokens)}, {blocks}{_short(self.blocks)}{name})"
        return f"evict({self.number})" if self.method == "evict" else f"{self.method}(node of line {self.handle + 2})"

    def code(self, label: str) -> str:
        """The Python of it; what line 3 of the story came to is called line_3."""
        name = "" if self.namespace is None else f", namespace={self.namespace!r}"
        if self.method in ("match", "insert"):
            given = [list(self.tokens), *([list(self.blocks)] if self.method == "insert" else [])]
            if not self.clears:
                return f"answer = {label}.{self.method}({', '.join(map(str, given))}{name})"
            names = ("tokens", "blocks")[: len(given)]
            lists = [f"{each} = {values}" for each, values in zip(names, given, strict=True)]
            call = f"answer = {label}.{self.method}({', '.join(names)}{name})"
            return "\n".join([*lists, call, *(f"{each}.clear()" for each in names)])
        handle = f"line_{self.handle + 2}.node"
        return f"answer = {label}.{self.method}({self.number if self.method == 'evict' else handle})"

    @property
    def afterwards(self) -> str:
        """What the caller does when the call has returned, for the same line of the story."""
        if not self.clears:
            return ""
        return ", then t.clear()" + (", b.clear()" if self.method == "insert" else "")


class PrefixCacheScript:
    """The methods of the contract; each notes a move and, if it is lawful, changes `spec` as a right cache would.

    clears: the caller empties each list that it hands over, as soon as the call is over.
    """

    def __init__(self, block_size: int, *, clears: bool = False) -> None:
        self.spec = PrefixCacheSpec(block_size)
        self.moves: list[PrefixCacheCall] = []
        self._clears = clears
        self._blocks = 0

    def match(self, tokens: Sequence[int], namespace: Namespace = None) -> int:
        """The handle."""
        handle = len(self.moves)
        self.spec.match(tokens, namespace, handle)
        return self._note(PrefixCacheCall("match", tuple(tokens), (), namespace, handle, clears=self._clears))

    def insert(
        self, tokens: Sequence[int], blocks: Sequence[int] | None = None, namespace: Namespace = None, extra: int = 0
    ) -> int:
        """The handle. Fresh blocks, and `extra` more, unless `blocks` are given."""
        if blocks is None:
            blocks = self.fresh(len(tokens) // self.spec.block_size + extra)
        handle, refused = len(self.moves), bool(self.spec.refuse_insert(tokens, blocks, namespace))
        if not refused:
            self.spec.insert(tokens, blocks, namespace, handle)
        move = PrefixCacheCall(
            "insert", tuple(tokens), tuple(blocks), namespace, handle, clears=self._clears, refused=refused
        )
        return self._note(move)

    def lock(self, handle: int) -> None:
        self.spec.lock(handle)
        self._note(PrefixCacheCall("lock", handle=handle))

    def unlock(self, handle: int) -> None:
        refused = bool(self.spec.refuse_unlock(handle))
        if not refused:
            self.spec.unlock(handle)
        self._note(PrefixCacheCall("unlock", handle=handle, refused=refused))

    def evict(self, number: int) -> None:
        self.spec.evict(number)
        self._note(PrefixCacheCall("evict", number=number))

    def unchanged(self) -> PrefixCacheScript:
        """The same calls, by a caller who leaves its lists as they are."""
        script = PrefixCacheScript(self.spec.block_size)
        script.spec, script.moves = self.spec, [replace(move, clears=False) for move in self.moves]
        return script

    def shorter(self, played: int) -> Iterator[PrefixCacheScript]:
        """The first `played` calls without one of them; then with a block less in all texts that begin alike."""
        moves = self.moves[:played]
        drafts = [moves[:left_out] + moves[left_out + 1 :] for left_out in reversed(range(played))]
        for cut in sorted({end for move in moves for end in range(0, len(move.tokens), self.spec.block_size)}):
            drafts.append([_without_block(move, cut, self.spec.block_size) for move in moves])
        for at, move in enumerate(moves):
            if len(move.tokens) >= self.spec.block_size:
                last = _without_block(move, len(move.tokens) - self.spec.block_size, self.spec.block_size)
                drafts.append([*moves[:at], last, *moves[at + 1 :]])
        scripts = (self._again(draft) for draft in drafts)
        return (script for script in scripts if script is not None)

    def _again(self, moves: Sequence[PrefixCacheCall]) -> PrefixCacheScript | None:
        """These calls, blocks counted anew; None if one would now be refused that was not, or the other way round."""
        script = PrefixCacheScript(self.spec.block_size, clears=self._clears)
        handles: dict[int, int] = {}
        blocks: dict[int, int] = {}
        for move in moves:
            before = len(script.moves)
            script._repeat(move, handles, blocks)
            if len(script.moves) > before and script.moves[-1].refused is not move.refused:
                return None
        return script

    def _repeat(self, move: PrefixCacheCall, handles: dict[int, int], blocks: dict[int, int]) -> None:
        """Make the call, which another script has made, here; handles, blocks: what its numbers are called here.

        Calls about a handle that is not there any more are left out, and so is an unlock whose lock was. What is of no
        length is never locked, and nobody tries to unlock it.
        """
        if move.method == "match":
            handles[move.handle] = self.match(move.tokens, move.namespace)
        elif move.method == "insert":
            own = [blocks.setdefault(block, len(blocks) + 1) for block in move.blocks]
            handles[move.handle] = self.insert(move.tokens, own, move.namespace)
        elif move.method == "evict":
            self.evict(move.number)
        elif (handle := handles.get(move.handle, -1)) in self.spec.handles and self.spec.handles[handle].tokens:
            if move.method == "lock":
                self.lock(handle)
            elif move.refused is bool(self.spec.refuse_unlock(handle)) and not (move.refused and self._alike(handle)):
                self.unlock(handle)

    def _alike(self, handle: int) -> bool:
        """Whether another handle of the same path is locked: a part may give out one handle for both."""
        path = self.spec.handles[handle]
        return any(times and self.spec.handles[other] == path for other, times in self.spec.locks.items())

    def fresh(self, count: int) -> list[int]:
        """Blocks that nobody has brought yet."""
        self._blocks += count
        return list(range(self._blocks - count + 1, self._blocks + 1))

    def _note(self, move: PrefixCacheCall) -> int:
        self.moves.append(move)
        return len(self.moves) - 1


def _without_block(move: PrefixCacheCall, start: int, size: int) -> PrefixCacheCall:
    """The call with the tokens from `start` on, a block of them, left out; the same call when there are none."""
    if len(move.tokens) < start + size:
        return move
    tokens = move.tokens[:start] + move.tokens[start + size :]
    at = start // size
    return replace(move, tokens=tokens, blocks=move.blocks[:at] + move.blocks[at + 1 :])


def _short(numbers: Sequence[int]) -> str:
    return f"{list(numbers)}" if len(numbers) <= 12 else f"<{len(numbers)}: {', '.join(map(str, numbers[:4]))}, …>"
