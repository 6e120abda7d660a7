"""One prefix cache under test: a script is played on it, every answer and both counts are compared."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

from graders.checking.call_recorder import CallRecorder
from graders.checking.check_context import CheckContext
from graders.checking.failure import Broken, Refusals, plural
from graders.checking.replies import Raised, Reply, Returned, returned_again, shown, value_or_raised
from graders.exercises.ex3_prefix_cache.operations import PrefixCacheCall, PrefixCacheScript
from graders.exercises.ex3_prefix_cache.specification import Path, PrefixCacheSpec, ReleasedLast
from graders.result import Outcome
from graders.sandbox import protocol

IMPORTS = "from prefix_cache import PrefixCache\n"
FEW = 12  # tokens of a block that are shown in whole
KEPT = " Did `insert` keep the caller's list? Store tuple(...) or list(...) of it: the caller may change its own."
ANY = " The same calls with lists are answered rightly: a caller may hand over any Sequence; list(...) makes it one."


class PrefixCacheJudge:
    """A script played on the part. `judge` raises Broken at the first deviation, which is told as a
    story."""

    def __init__(self, context: CheckContext, script: PrefixCacheScript) -> None:
        self.spec = PrefixCacheSpec(script.spec.block_size)
        self._script = script
        self._recorder = CallRecorder(context, "prefix_cache", "cache", IMPORTS)
        self._refusals = 0
        self._played = 0
        self._lines = dict[
            int, int
        ]()  # by the clock's tick: the line of the story that touched something then
        self._touched = dict[
            int, int
        ]()  # by block, before an eviction: the line that touched it last

    def replay(self) -> None:
        """See `graders.checking.failure.Replayable`."""
        script = copy.copy(self._script)
        script.moves = script.moves[: self._played]
        with contextlib.suppress(Broken):
            PrefixCacheJudge(self._recorder.context, script).judge()

    def shorter(self) -> Iterator[PrefixCacheJudge]:
        """See `graders.checking.shrinking.Trace`."""
        return (
            PrefixCacheJudge(self._recorder.context, script)
            for script in self._script.shorter(self._played)
        )

    def judge(self) -> None:
        """If the caller has emptied lists of its own, or had none, a deviation that goes away with
        lists which are left alone is told as such."""
        try:
            self._play()
        except Broken as broken:
            if broken.outcome is Outcome.FAIL and not self._script.plain:
                broken.message += _with_lists(self._recorder.context, self._script)
            broken.trace = self
            raise

    def _play(self) -> None:
        size = self.spec.block_size
        moves = [move.to_wire() for move in self._script.moves]
        raised = self._recorder.play([size], {}, f"PrefixCache(block_size={size})", moves)
        if raised:
            self._recorder.unexpected(raised, "a prefix cache")
        judges = {
            "match": self._match,
            "insert": self._insert,
            "lock": self._lock,
            "unlock": self._unlock,
            "evict": self._evict,
            "beside": self._beside,
        }
        for move in self._script.moves:
            method = "insert" if move.method == "beside" else move.method
            reply, counts = self._recorder.next(method, str(move), move.code("cache"))
            self._played += 1
            clock = self.spec.clock
            judges[move.method](move, reply)
            if self.spec.clock > clock:
                self._lines[self.spec.clock] = len(self._recorder.steps)
            self._recorder.steps[-1].answer = f"{self._recorder.steps[-1].answer}{move.afterwards}"
            self._count(counts)
        self._recorder.finish()

    # ------------------------------------------------------------ the calls

    def _match(self, move: PrefixCacheCall, reply: Reply) -> None:
        value = self._returned(reply, "a Match")
        path = self.spec.match(move.tokens, move.namespace, move.handle)
        due = [len(path.tokens), self.spec.blocks(path)]
        if type(value) is list and len(value) == 2:
            self._recorder.steps[-1].answer = f"length {shown(value[0])}, blocks {shown(value[1])}"
        if repr(value) != repr(due):
            self._recorder.parsed(lambda: self._mismatch(move, value, path))

    def _insert(self, move: PrefixCacheCall, reply: Reply) -> None:
        refusals = self.spec.refuse_insert(move.tokens, move.blocks, move.namespace)
        if refusals:
            self._refused(reply, refusals)
            return
        value = self._returned(reply, "an Inserted")
        reused = self.spec.insert(move.tokens, move.blocks, move.namespace, move.handle)
        if repr(value) != repr(reused):
            message = f"`insert` returned reused={shown(value)}; an int is due."
            if type(value) is int:
                verb = "was" if value == 1 else "were"
                message = f"`insert` says that {plural(value, 'token')} {verb} held already; it should say {reused}."
            self._broken(message, f"reused={shown(value)}", f"reused={reused}")

    def _lock(self, move: PrefixCacheCall, reply: Reply) -> None:
        self._returned(reply, "no exception")
        self.spec.lock(move.handle)

    def _unlock(self, move: PrefixCacheCall, reply: Reply) -> None:
        refusals = self.spec.refuse_unlock(move.handle)
        if refusals:
            self._refused(reply, refusals)
            return
        self._returned(reply, "no exception")
        self.spec.unlock(move.handle)

    def _beside(self, move: PrefixCacheCall, reply: Reply) -> None:
        self._returned(reply, "no exception")

    def _evict(self, move: PrefixCacheCall, reply: Reply) -> None:
        value = self._returned(reply, "a list of blocks")
        places = {stored.block: path for path, stored in self.spec.stored.items()}
        self._touched = {
            stored.block: self._lines.get(stored.tick, 0) for stored in self.spec.stored.values()
        }
        pinned = [self.spec.stored[path].block for path in self.spec.pins]
        due = self.spec.evict(move.number)
        if repr(value) != repr(due):
            self._misevicted(value, due, places, pinned)

    # ------------------------------------------------------------ what was wrong

    def _mismatch(self, move: PrefixCacheCall, value: Any, path: Path) -> NoReturn:
        if type(value) is not list or len(value) != 2:
            raise protocol.ProtocolError("a match that is not one")
        length, blocks = value
        due, right = self.spec.blocks(path), len(path.tokens)
        got = f"length={shown(length)}, blocks={shown(blocks)}"
        expected = f"length={right}, blocks={shown(due)}"
        if length == right and type(length) is int:
            whats = "the wrong blocks" if blocks != due else "blocks that are no ints"
            self._broken(f"`match` found the right length, {right}, and {whats}.", got, expected)
        habit = ""
        if type(length) is not int:
            message = f"`match` returned a length of {shown(length)}; an int is due."
        elif length % self.spec.block_size:
            message = f"`match` returned a length of {shown(length)}: only whole blocks match."
        elif length > right:
            verb = "is" if right == 1 else "are"
            why = self._why_no_more(path, move.tokens)
            message = f"`match` found {plural(length, 'token')}, but only {right} of them {verb} stored: {why}."
            habit = "trusts a hash" if self._same_hash(path, move.tokens) else ""
        else:
            verb = "is" if right == 1 else "are"
            message = f"`match` found {plural(length, 'token')}, but {right} {verb} stored."
        self._broken(message, got, expected, habit)

    def _same_hash(self, path: Path, asked: Sequence[int]) -> bool:
        """Whether another block with the hash of the one asked for is stored where a match ends."""
        size, end = self.spec.block_size, len(path.tokens)
        wanted = hash(tuple(asked[end : end + size]))
        return any(
            self.spec.parent(other) == path and hash(other.tokens[end:]) == wanted
            for other in self.spec.stored
        )

    def _why_no_more(self, path: Path, asked: Sequence[int]) -> str:
        """Why a match ends where it does."""
        size, end = self.spec.block_size, len(path.tokens)
        block = tuple(asked[end : end + size])
        after = [
            other.tokens[end:] for other in self.spec.stored if self.spec.parent(other) == path
        ]
        names = [
            other.namespace for other in self.spec.stored if other.tokens == path.tokens + block
        ]
        if len(block) < size:
            return (
                f"the {plural(len(block), 'token')} after them fill no block"
                if block
                else "there are no more"
            )
        if names:
            return f"block {list(block)} is stored for namespace {names[0]!r}, not for {path.namespace!r}"
        where = "after them" if path.tokens else "as the first block"
        if after:
            nearest = max(after, key=lambda tokens: sum(map(int.__eq__, tokens, block)))
            at = next(index for index, token in enumerate(nearest) if token != block[index])
            if size > FEW:
                return f"{nearest[at]} is token {at} of the block stored {where}, {block[at]} is asked for"
            return f"{list(nearest)} is stored {where}, {list(block)} is asked for"
        return f"nothing is stored {where}"

    def _misevicted(
        self, value: Any, due: list[int], places: dict[int, Path], pinned: list[int]
    ) -> NoReturn:
        got, expected = shown(value), shown(due)
        if type(value) is not list or any(type(block) is not int for block in value):
            self._broken(f"`evict` returned {got}; a list of blocks is due.", got, expected)
        for block in value:
            if block not in places:
                self._broken(f"`evict` returned block {block}, which is not stored.", got, expected)
            if block in pinned:
                self._broken(f"`evict` took block {block}, which is pinned.", got, expected)
        if len(value) != len(due):
            message = f"`evict` took {plural(len(value))} where {plural(len(due))} had to go."
            edge = [places[block] for block in value if block not in due]
            whole = any(self._on_one_path(edge, places[block]) for block in due)
            self._broken(message, got, expected, "evicts whole leaves" if edge and whole else "")
        at = next(index for index, block in enumerate(due) if value[index] != block)
        first, other = due[at], value[at]
        children = [
            block
            for block, path in places.items()
            if path.tokens[: -self.spec.block_size] == places[other].tokens
        ]
        if [
            block
            for block in children
            if block not in value[:at] and places[block].namespace == places[other].namespace
        ]:
            message = f"`evict` took block {other} before its child {children[0]}."
        else:
            message = (
                f"`evict` took block {other} before block {first}, which was touched longer "
                f"ago: block {first} last"
            )
            message += (
                f" in line {self._touched[first]}, block {other} in line {self._touched[other]}."
            )
            if self._refusals:
                message += " An insert that is refused touches nothing."
            if value == self._script.evicted_by(ReleasedLast, self._played):
                self._broken(message, got, expected, "in order of release")
        self._broken(message, got, expected)

    def _on_one_path(self, paths: Sequence[Path], end: Path) -> bool:
        """Whether `paths` are all above or below `end`: more of the edge that it is part of."""
        return all(path in self.spec.above(end) or end in self.spec.above(path) for path in paths)

    def _refused(self, reply: Reply, refusals: Refusals) -> None:
        self._refusals += 1
        due, why = next(iter(refusals.items()))
        if isinstance(reply, Returned):
            method = self._recorder.method
            habit = (
                "trusts the caller's blocks" if method == "insert" else "trusts the caller's locks"
            )
            self._broken(
                f"`{method}` must raise {due}: {why}.", shown(reply.value), f"raises {due}", habit
            )
        if not reply.is_one_of([due]):
            self._recorder.unexpected(reply, f"raises {due}")

    def _returned(self, reply: Reply, expected: str) -> Any:
        if isinstance(reply, Raised):
            self._recorder.unexpected(reply, expected)
        again = returned_again(self._recorder.method, reply.value)
        if again:
            self._recorder.deviates(again)
        return reply.value

    def _count(self, counts: Any) -> None:
        """evictable and protected after every call."""
        reply = self._recorder.parsed(lambda: value_or_raised(counts))
        due = [self.spec.evictable, self.spec.protected]
        if isinstance(reply, Raised):
            self._recorder.method = "evictable"
            self._recorder.unexpected(reply, f"evictable == {due[0]}, protected == {due[1]}")
        if repr(reply.value) == repr(due):
            return
        if type(reply.value) is list and len(reply.value) == len(due):
            for name, value in zip(("evictable", "protected"), reply.value, strict=True):
                self._recorder.no_property(name, value)
            for name, value in zip(("evictable", "protected"), reply.value, strict=True):
                if type(value) is not int:
                    self._recorder.method = name
                    self._broken(
                        f"`{name}` is {shown(value)}; an int is due.",
                        f"{name} == {shown(value)}",
                        "an int",
                    )
        method = self._recorder.method
        got, expected = f"[evictable, protected] == {shown(reply.value)}", f"{due}"
        self._recorder.tell("[cache.evictable, cache.protected]", shown(reply.value))
        message = f"After `{method}` {plural(sum(due))} should be stored, {due[1]} of them pinned by a lock; your "
        message += (
            f"counts say evictable {_item(reply.value, 0)} and protected "
            f"{_item(reply.value, 1)}{_sum(reply.value)}."
        )
        self._broken(message, got, expected)

    def _broken(self, message: str, got: str, expected: str, habit: str = "") -> NoReturn:
        self._recorder.broken(message, got=got, expected=expected, habit=habit)


def _with_lists(context: CheckContext, script: PrefixCacheScript) -> str:
    """Advice, if the part plays the script rightly as soon as the caller has lists and leaves them
    as they are."""
    try:
        PrefixCacheJudge(context, script.with_lists()).judge()
    except Broken:
        return ""
    return KEPT if script.clears else ANY


def _sum(value: Any) -> str:
    """What both counts come to, where they are counts."""
    fine = type(value) is list and len(value) == 2 and all(type(count) is int for count in value)
    return f", {sum(value)} in all" if fine else ""


def _item(value: Any, index: int) -> str:
    return shown(value[index]) if type(value) is list and len(value) == 2 else "something else"
