"""A trace of calls before it is played: everything that a right cache answers is known beforehand.

Blocks are numbered by the script in the order in which they are brought; a handle goes by the
number of the move that returned it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from graders.exercises.ex3_prefix_cache.specification import Namespace, PrefixCacheSpec, Tenant

FORMS = ("list", "tuple", "array", "sequence")  # of what a caller hands over; see the driver
FEW = 8  # moves that are left out together at least, where many are
LIST_OF = {
    "list": "{}",
    "tuple": "tuple({})",
    "array": "array('q', {})",
    "sequence": "Sequence({})",
}
CODE_OF = {  # the same in Python that runs anywhere
    "list": "{}",
    "tuple": "tuple({})",
    "array": "__import__('array').array('q', {})",
    "sequence": "__import__('collections').UserList({})",
}


@dataclass(frozen=True, slots=True)
class PrefixCacheCall:
    """One call. handle: the one it returns or is about. number: of blocks, for evict.

    clears: the caller empties the lists that it handed over, when the call has returned. refused:
    it has to be. form: of FORMS, what tokens and blocks come in.
    """

    method: str
    tokens: tuple[int, ...] = ()
    blocks: tuple[int, ...] = ()
    namespace: Namespace = None
    handle: int = 0
    number: int = 0
    clears: bool = False
    refused: bool = False
    form: str = "list"

    def to_wire(self) -> list[Any]:
        name = None if self.namespace is None else {"name": _name_on_wire(self.namespace)}
        if self.method == "match":
            return ["match", self.tokens, name, self.handle, self.form, self.clears]
        if self.method == "insert":
            return ["insert", self.tokens, self.blocks, name, self.handle, self.form, self.clears]
        if self.method == "beside":
            return ["beside", self.tokens, self.blocks]
        return [self.method, self.number if self.method == "evict" else self.handle]

    def __str__(self) -> str:
        name = "" if self.namespace is None else f", namespace={self.namespace!r}"
        tokens, blocks = (
            LIST_OF[self.form].format(short(numbers)) for numbers in (self.tokens, self.blocks)
        )
        if self.clears:
            tokens, blocks = f"t := {tokens}", f"b := {blocks}"
        if self.method == "match":
            return f"match({tokens}{name})"
        if self.method == "insert":
            return f"insert({tokens}, {blocks}{name})"
        if self.method == "beside":
            return f"__class__(…).insert({tokens}, {blocks})  # another cache"
        return (
            f"evict({self.number})"
            if self.method == "evict"
            else f"{self.method}(node of line {self.handle + 2})"
        )

    def code(self, label: str) -> str:
        """The Python of it; what line 3 of the story came to is called line_3."""
        name = "" if self.namespace is None else f", namespace={_name_in_code(self.namespace)}"
        given = [
            CODE_OF[self.form].format(list(self.tokens)),
            CODE_OF[self.form].format(list(self.blocks)),
        ]
        if self.method == "beside":
            return (
                f"other = type({label})({self.number})\nanswer = other.insert({', '.join(given)})"
            )
        if self.method in ("match", "insert"):
            given = given[: 1 + (self.method == "insert")]
            if not self.clears:
                return f"answer = {label}.{self.method}({', '.join(given)}{name})"
            names = ("tokens", "blocks")[: len(given)]
            lists = [f"{each} = {values}" for each, values in zip(names, given, strict=True)]
            call = f"answer = {label}.{self.method}({', '.join(names)}{name})"
            return "\n".join([*lists, call, *(f"{each}.clear()" for each in names)])
        handle = f"line_{self.handle + 2}.node"
        return (
            f"answer = {label}.{self.method}({self.number if self.method == 'evict' else handle})"
        )

    @property
    def afterwards(self) -> str:
        """What the caller does when the call has returned, for the same line of the story."""
        if not self.clears:
            return ""
        return ", then t.clear()" + (", b.clear()" if self.method == "insert" else "")


class PrefixCacheScript:
    """The methods of the contract; each notes a move and, if it is lawful, changes `spec` as a
    right cache would.

    clears: the caller empties each list that it hands over, as soon as the call is over. form: of
    FORMS, what it hands over. first: the number of the first block. recycles: what was evicted is
    brought again before others, as pools do.
    """

    recycles = False

    def __init__(
        self, block_size: int, *, clears: bool = False, form: str = "list", first: int = 1
    ) -> None:
        self.spec = PrefixCacheSpec(block_size)
        self.moves: list[PrefixCacheCall] = []
        self.clears = clears
        self._form = form
        self._first = first
        self._next = first
        self._evicted: list[int] = []

    def match(self, tokens: Sequence[int], namespace: Namespace = None) -> int:
        """The handle."""
        handle = len(self.moves)
        self.spec.match(tokens, namespace, handle)
        how = self.clears, False, self._form
        return self._note(PrefixCacheCall("match", tuple(tokens), (), namespace, handle, 0, *how))

    def insert(
        self,
        tokens: Sequence[int],
        blocks: Sequence[int] | None = None,
        namespace: Namespace = None,
        extra: int = 0,
    ) -> int:
        """The handle. Fresh blocks, and `extra` more, unless `blocks` are given."""
        if blocks is None:
            blocks = self.fresh(len(tokens) // self.spec.block_size + extra)
        handle, refused = len(self.moves), bool(self.spec.refuse_insert(tokens, blocks, namespace))
        if not refused:
            self.spec.insert(tokens, blocks, namespace, handle)
        how = self.clears, refused, self._form
        return self._note(
            PrefixCacheCall("insert", tuple(tokens), tuple(blocks), namespace, handle, 0, *how)
        )

    def lock(self, handle: int) -> None:
        self.spec.lock(handle)
        self._note(PrefixCacheCall("lock", handle=handle))

    def unlock(self, handle: int) -> None:
        refused = bool(self.spec.refuse_unlock(handle))
        if not refused:
            self.spec.unlock(handle)
        self._note(PrefixCacheCall("unlock", handle=handle, refused=refused))

    def evict(self, number: int) -> None:
        self._evicted += self.spec.evict(number)
        self._note(PrefixCacheCall("evict", number=number))

    def beside(self, tokens: Sequence[int], blocks: Sequence[int]) -> None:
        """Another cache is made, and stores this; nothing changes here."""
        self._note(
            PrefixCacheCall("beside", tuple(tokens), tuple(blocks), number=self.spec.block_size)
        )

    def evicted_by(self, policy: type[PrefixCacheSpec], played: int) -> list[int]:
        """What a cache of another policy would have evicted in the last of the first `played`
        calls."""
        spec, evicted = policy(self.spec.block_size), list[int]()
        for move in self.moves[:played]:
            if move.method == "match":
                spec.match(move.tokens, move.namespace, move.handle)
            elif move.method == "insert" and not move.refused:
                spec.insert(move.tokens, move.blocks, move.namespace, move.handle)
            elif move.method == "evict":
                evicted = spec.evict(move.number)
            elif move.method in ("lock", "unlock") and not move.refused:
                getattr(spec, move.method)(move.handle)
        return evicted

    @property
    def plain(self) -> bool:
        """Whether the caller hands over lists, and leaves them as they are."""
        return self._form == "list" and not self.clears

    def with_lists(self) -> PrefixCacheScript:
        """The same calls with lists, which the caller leaves as they are."""
        script = PrefixCacheScript(self.spec.block_size)
        script.spec, script.moves = (
            self.spec,
            [replace(move, form="list", clears=False) for move in self.moves],
        )
        return script

    def shorter(self, played: int) -> Iterator[PrefixCacheScript]:
        """The first `played` calls without many of them; without one; with a block less in all
        texts that begin alike."""
        return (self._again(draft) for draft in self._drafts(self.moves[:played]))

    def _drafts(self, moves: list[PrefixCacheCall]) -> Iterator[list[PrefixCacheCall]]:
        size, many = self.spec.block_size, len(moves) // 2
        while many >= FEW:
            yield from (
                moves[:start] + moves[start + many :] for start in range(0, len(moves), many)
            )
            many //= 2
        yield from (
            moves[:left_out] + moves[left_out + 1 :] for left_out in reversed(range(len(moves)))
        )
        for cut in sorted({end for move in moves for end in range(0, len(move.tokens), size)}):
            yield [_without_block(move, cut, size) for move in moves]
        for at, move in enumerate(moves):
            if len(move.tokens) >= size:
                last = _without_block(move, len(move.tokens) - size, size)
                yield [*moves[:at], last, *moves[at + 1 :]]

    def _again(self, moves: Sequence[PrefixCacheCall]) -> PrefixCacheScript:
        """These calls, blocks counted anew; one that would now be refused and was not, or the other
        way round, is left out."""
        script = PrefixCacheScript(
            self.spec.block_size, clears=self.clears, form=self._form, first=self._first
        )
        handles: dict[int, int] = {}
        blocks: dict[int, int] = {}
        for move in moves:
            script._repeat(move, handles, blocks)
        return script

    def _repeat(
        self, move: PrefixCacheCall, handles: dict[int, int], blocks: dict[int, int]
    ) -> None:
        """Make the call, which another script has made, here; handles, blocks: what its numbers are
        called here.

        Calls about a handle that is not there any more are left out, and so is an unlock whose lock
        was. What is of no length is never locked, and nobody tries to unlock it.
        """
        if move.method == "match":
            handles[move.handle] = self.match(move.tokens, move.namespace)
        elif move.method == "insert":
            own = [blocks.setdefault(block, self._first + len(blocks)) for block in move.blocks]
            if bool(self.spec.refuse_insert(move.tokens, own, move.namespace)) is move.refused:
                handles[move.handle] = self.insert(move.tokens, own, move.namespace)
        elif move.method == "evict":
            self.evict(move.number)
        elif move.method == "beside":
            self.beside(move.tokens, move.blocks)
        elif (handle := handles.get(move.handle, -1)) in self.spec.handles and self.spec.handles[
            handle
        ].tokens:
            if move.method == "lock":
                self.lock(handle)
            elif move.refused is bool(self.spec.refuse_unlock(handle)) and not (
                move.refused and self._alike(handle)
            ):
                self.unlock(handle)

    def _alike(self, handle: int) -> bool:
        """Whether another handle of the same path is locked: a part may give out one handle for
        both."""
        path = self.spec.handles[handle]
        return any(
            times and self.spec.handles[other] == path for other, times in self.spec.locks.items()
        )

    def fresh(self, count: int) -> list[int]:
        """Blocks that nobody has brought yet, or not since they were evicted."""
        again = (
            [self._evicted.pop() for _ in range(min(count, len(self._evicted)))]
            if self.recycles
            else []
        )
        self._next += count - len(again)
        return [*again, *range(self._next - count + len(again), self._next)]

    def _note(self, move: PrefixCacheCall) -> int:
        self.moves.append(move)
        return len(self.moves) - 1


def _without_block(move: PrefixCacheCall, start: int, size: int) -> PrefixCacheCall:
    """The call with the tokens from `start` on, a block of them, left out; the same call when there
    are none."""
    if len(move.tokens) < start + size:
        return move
    tokens = move.tokens[:start] + move.tokens[start + size :]
    at = start // size
    return replace(move, tokens=tokens, blocks=move.blocks[:at] + move.blocks[at + 1 :])


def _name_in_code(name: Namespace) -> str:
    if isinstance(name, Tenant):
        return f"__import__('collections').namedtuple('Tenant', 'name adapter')({name.name!r}, {name.adapter})"
    return repr(name)


def _name_on_wire(name: Namespace) -> Any:
    if isinstance(name, tuple):
        return {"tuple": [_name_on_wire(item) for item in name]}
    return {"tenant": [name.name, name.adapter]} if isinstance(name, Tenant) else name


def short(numbers: Sequence[int]) -> str:
    """As a list, cut where it is long."""
    return (
        f"{list(numbers)}"
        if len(numbers) <= 12
        else f"<{len(numbers)}: {', '.join(map(str, numbers[:4]))}, …>"
    )
