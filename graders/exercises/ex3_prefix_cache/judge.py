"""One prefix cache under test: a script is played on it, every answer and both counts are compared."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NoReturn

from graders.checking.call_recorder import CallRecorder
from graders.checking.check_context import CheckContext
from graders.checking.failure import Broken, Refusals, plural
from graders.checking.replies import Raised, Reply, Returned, shown, value_or_raised
from graders.exercises.ex3_prefix_cache.operations import PrefixCacheCall, PrefixCacheScript
from graders.exercises.ex3_prefix_cache.specification import Path, PrefixCacheSpec
from graders.result import Outcome
from graders.sandbox import protocol

IMPORTS = "from prefix_cache import PrefixCache\n"
KEPT = " Did `insert` keep the caller's list? Store tuple(...) or list(...) of it: the caller may change its own."


class PrefixCacheJudge:
    """A script played on the part. `judge` raises Broken at the first deviation, which is told as a story."""

    def __init__(self, context: CheckContext, script: PrefixCacheScript) -> None:
        self.spec = PrefixCacheSpec(script.spec.block_size)
        self._script = script
        self._recorder = CallRecorder(context, "prefix_cache", "cache", IMPORTS)
        self._refusals = 0
        self._played = 0

    def shorter(self) -> Iterator[PrefixCacheJudge]:
        """See `graders.checking.shrinking.Trace`."""
        return (PrefixCacheJudge(self._recorder.context, script) for script in self._script.shorter(self._played))

    def judge(self) -> None:
        """If the caller has emptied lists of its own, a deviation that goes away when it does not is told as such."""
        try:
            self._play()
        except Broken as broken:
            if broken.outcome is Outcome.FAIL and any(move.clears for move in self._script.moves):
                broken.message += _kept(self._recorder.context, self._script)
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
        }
        for move in self._script.moves:
            reply, counts = self._recorder.next(move.method, str(move), move.code("cache"))
            self._played += 1
            judges[move.method](move, reply)
            self._recorder.steps[-1].answer += move.afterwards
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
            told = plural(value, "token") if type(value) is int else f"{shown(value)} tokens"
            verb = "was" if value == 1 else "were"
            message = f"`insert` says that {told} {verb} held already; it should say {reused}."
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

    def _evict(self, move: PrefixCacheCall, reply: Reply) -> None:
        value = self._returned(reply, "a list of blocks")
        places = {stored.block: path for path, stored in self.spec.stored.items()}
        pinned = [stored.block for path, stored in self.spec.stored.items() if self.spec.pinned(path)]
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
            self._broken(f"`match` found the right length, {right}, and the wrong blocks.", got, expected)
        if type(length) is not int or length % self.spec.block_size:
            message = f"`match` returned a length of {shown(length)}: only whole blocks match."
        elif length > right:
            why = (
                f"after the {plural(right, 'token')} before the tokens differ" if right else "no block begins like that"
            )
            verb = "is" if right == 1 else "are"
            message = f"`match` found {plural(length, 'token')}, but only {right} of them {verb} stored: {why}."
        else:
            verb = "is" if right == 1 else "are"
            message = f"`match` found {plural(length, 'token')}, but {right} {verb} stored."
        self._broken(message, got, expected)

    def _misevicted(self, value: Any, due: list[int], places: dict[int, Path], pinned: list[int]) -> NoReturn:
        got, expected = shown(value), shown(due)
        if type(value) is not list or any(type(block) is not int for block in value):
            self._broken(f"`evict` returned {got}; a list of blocks is due.", got, expected)
        for block in value:
            if block not in places:
                self._broken(f"`evict` returned block {block}, which is not stored.", got, expected)
            if block in pinned:
                self._broken(f"`evict` took block {block}, which is pinned.", got, expected)
        if len(value) != len(due):
            self._broken(f"`evict` took {plural(len(value))} where {plural(len(due))} had to go.", got, expected)
        at = next(index for index, block in enumerate(due) if value[index] != block)
        first, other = due[at], value[at]
        children = [
            block for block, path in places.items() if path.tokens[: -self.spec.block_size] == places[other].tokens
        ]
        if [
            block
            for block in children
            if block not in value[:at] and places[block].namespace == places[other].namespace
        ]:
            message = f"`evict` took block {other} before its child {children[0]}."
        else:
            message = f"`evict` took block {other} before block {first}, which was touched longer ago."
            if self._refusals:
                message += " An insert that is refused touches nothing."
        self._broken(message, got, expected)

    def _refused(self, reply: Reply, refusals: Refusals) -> None:
        self._refusals += 1
        due, why = next(iter(refusals.items()))
        if isinstance(reply, Returned):
            self._broken(f"`{self._recorder.method}` must raise {due}: {why}.", shown(reply.value), f"raises {due}")
        if not reply.is_one_of([due]):
            self._recorder.unexpected(reply, f"raises {due}")

    def _returned(self, reply: Reply, expected: str) -> Any:
        if isinstance(reply, Raised):
            self._recorder.unexpected(reply, expected)
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
        method = self._recorder.method
        got, expected = f"[evictable, protected] == {shown(reply.value)}", f"{due}"
        self._recorder.tell("[cache.evictable, cache.protected]", shown(reply.value))
        message = f"After `{method}` {plural(sum(due))} should be stored, {due[1]} of them pinned by a lock; your "
        message += (
            f"counts say evictable {_item(reply.value, 0)} and protected {_item(reply.value, 1)}{_sum(reply.value)}."
        )
        self._broken(message, got, expected)

    def _broken(self, message: str, got: str, expected: str) -> NoReturn:
        self._recorder.broken(message, got=got, expected=expected)


def _kept(context: CheckContext, script: PrefixCacheScript) -> str:
    """Advice, if the part plays the script rightly as soon as the caller leaves its own lists as they are."""
    try:
        PrefixCacheJudge(context, script.unchanged()).judge()
    except Broken:
        return ""
    return KEPT


def _sum(value: Any) -> str:
    """What both counts come to, where they are counts."""
    fine = type(value) is list and len(value) == 2 and all(type(count) is int for count in value)
    return f", {sum(value)} in all" if fine else ""


def _item(value: Any, index: int) -> str:
    return shown(value[index]) if type(value) is list and len(value) == 2 else "something else"
