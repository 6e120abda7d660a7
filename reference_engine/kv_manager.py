"""What a scheduler asks for KV memory: one `BlockManager` and, if there is one, one `PrefixCache`,
joined.

Neither part knows the other. The manager carries blocks between them: what the cache newly stores
it retains, what the cache evicts it releases, and when blocks are lacking it evicts exactly as many
as are lacking before it gives up.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from reference_engine.parts import PartError
from reference_engine.slots import Block, BlockManager, Copy, OutOfBlocks, PrefixCache


@dataclass(eq=False, slots=True)
class HeldPrompt:
    """Tokens with KV that are kept for samples which begin with them.

    id: of the sequence that holds the blocks, nobody else's. heirs: the samples that have not
    borrowed them yet.
    """

    id: int
    tokens: tuple[int, ...]
    heirs: set[int]
    table: tuple[Block, ...] = ()


class KVManager:
    """Blocks for the requests of one engine, the cached ones included.

    capacity: the number of tokens that one request can ever hold, (num_blocks - 1 - watermark) *
    block_size.

    Ownership. A block is referenced by the tables that list it and, once, by the cache that stores
    it. A request that borrows a cached prefix keeps it locked until it is dropped, so everything
    evictable is referenced by the cache alone: evicting k blocks frees k blocks, and whether a
    request fits is known before anything is changed.

    What enters the cache. `drop` offers what was computed. A request that computes a prefix which
    somebody else has stored meanwhile keeps its own blocks until then; as duplicates they fall
    free. A scheduler offers nothing earlier. The *engine*, however, knows which KV it has computed:
    it may call `offer` when a prompt is complete, so that requests that arrive together share their
    menu before the first of them has left.

    Samples. The engine may `hold` a prompt, all but its last token, for several samples of it:
    whoever is admitted with tokens that begin so forks what is held, a partial tail included, and
    copies the block that it writes to. The last of the samples takes over what is held. What is
    held goes when blocks are lacking. `forked` are the copies of admissions by id, to be run with
    the plan's before the step's writes.

    Errors. KeyError and ValueError are the caller's mistakes (unknown or known id, shrinking
    extend, tokens beyond what is reserved); PartError, with what the part raised as its cause, says
    that a part broke its contract.

    >>> from reference_engine.naive import BlockManager
    >>> kv = KVManager(BlockManager(9, 4), None, block_size=4, num_blocks=9)
    >>> kv.capacity
    32
    >>> kv.admit(7, [1, 2, 3], 3), kv.extend(7, 4), kv.extend(7, 33)
    (0, [], None)
    """

    def __init__(
        self,
        block_manager: BlockManager,
        prefix_cache: PrefixCache | None,
        *,
        block_size: int,
        num_blocks: int,
        watermark: int = 0,
        namespace: Hashable = None,
    ) -> None:
        """Join two fresh parts made for the same block_size. `namespace`: of everything cached
        through this manager."""
        self.block_size, self.num_blocks = block_size, num_blocks
        self.capacity = (num_blocks - 1 - watermark) * block_size
        self._watermark = watermark
        self._blocks = block_manager
        self._extend = block_manager.extend
        self._pages = _Pages(prefix_cache, namespace)
        self._lengths: dict[int, int] = {}
        self._locked: dict[int, object] = {}
        self._held: list[HeldPrompt] = []
        self.forked: dict[int, list[Copy]] = {}

    def __contains__(self, id: int) -> bool:
        """Whether the request holds blocks now."""
        return id in self._lengths

    @property
    def evictable(self) -> int:
        """Blocks that the cache would give back."""
        return self._pages.evictable

    def table(self, id: int) -> Sequence[Block]:
        """The block table of a request that holds blocks; to be read at once, not kept."""
        self._length(id)
        try:  # without a context manager, as in `extend`
            return self._blocks.table(id)
        except Exception as error:
            raise _IN_BLOCKS.blamed(error) from error

    def lookup(self, tokens: Sequence[int]) -> int:
        """Length of the cached prefix usable now; always < len(tokens), so that a full hit computes
        one token."""
        length = self._pages.match(tokens[:-1])[0]
        held = self._held_for(tokens) if self._held else None
        return max(length, len(held.tokens)) if held else length

    def admit(self, id: int, tokens: Sequence[int], num_tokens: int) -> int | None:
        """Borrow the cached prefix of `tokens`, own the rest up to `num_tokens`, which is more than
        what is cached.

        The cached length; None when it does not fit even if everything evictable went: then nothing
        has changed. The prefix is locked before anything is evicted for the rest.
        """
        if id in self._lengths:
            raise ValueError(f"request {id} holds blocks already")
        length, shared, node = self._pages.match(tokens[:-1])
        held = self._held_for(tokens) if self._held else None
        if held and length < len(held.tokens) < num_tokens:
            return self._borrow(id, num_tokens, held)
        if num_tokens <= length:
            raise ValueError(f"{length} tokens are cached: {num_tokens} own nothing beyond them")
        if length:
            self._pages.lock(node)
            self._locked[id] = node
        if not self._make_room(num_tokens, shared):
            self._unlock(id)
            return None
        with _IN_BLOCKS:
            self._blocks.admit(id, num_tokens, shared)
        self._lengths[id] = num_tokens
        self.disinherit(id)
        return length

    def extend(self, id: int, num_tokens: int) -> list[Copy] | None:
        """Grow TO num_tokens. The copies to run; None when it does not fit even if everything
        evictable went."""
        if num_tokens < self._lengths[id]:
            raise ValueError(
                f"request {id} holds {self._lengths[id]} tokens: it cannot be extended to {num_tokens}"
            )
        copies: list[Copy] | None
        try:  # without a context manager: a step calls this for every request that runs
            copies = self._extend(id, num_tokens)[1]
        except OutOfBlocks:
            copies = self._evict_and_extend(id, num_tokens)
        except Exception as error:
            raise _IN_BLOCKS.blamed(error) from error
        if copies is not None:
            self._lengths[id] = num_tokens
        return copies

    def truncate(self, id: int, num_tokens: int) -> None:
        """Shrink TO num_tokens."""
        if not 0 <= num_tokens <= self._length(id):
            raise ValueError(
                f"request {id} holds {self._lengths[id]} tokens: it cannot be truncated to {num_tokens}"
            )
        with _IN_BLOCKS:
            self._blocks.truncate(id, num_tokens)
        self._lengths[id] = num_tokens

    def drop(self, id: int, tokens: Sequence[int]) -> None:
        """Give everything back; `tokens`, whose KV is computed and kept, are offered to the cache."""
        self._check_offered(id, tokens)
        self._insert(id, tokens)
        self._unlock(id)
        with _IN_BLOCKS:
            self._blocks.free(id)
        del self._lengths[id]

    def offer(self, id: int, tokens: Sequence[int]) -> None:
        """Offer `tokens`, whose KV is computed, to the cache; the request keeps its blocks. For the
        engine to call.

        Nothing happens when the request holds nothing (it was aborted, or has finished), or when
        the cache holds a part of this prefix in other blocks than the request's: pinning those
        would take memory that nobody counts.
        """
        if id not in self._lengths:
            return
        self._check_offered(id, tokens)
        held = self._pages.match(tokens)[1]
        if tuple(self.table(id)[: len(held)]) != held:
            return
        node = self._insert(id, tokens)
        if node is not None:
            self._pages.lock(node)
            self._unlock(id)
            self._locked[id] = node

    # ---------------------------------------------------------------- samples of one prompt

    def hold(self, held: HeldPrompt, owner: int) -> bool:
        """Keep the KV of a prompt, which `owner` has computed, for its heirs; whether it is held.

        For the engine to call, once it has offered the prompt. It is not held when the cache has a
        part of it in other blocks: then those are borrowed.
        """
        length = len(held.tokens)
        full = length // self.block_size
        pages = (
            self._pages.match(held.tokens[: full * self.block_size])[1] if self._pages.open else ()
        )
        if self._pages.open and pages != tuple(self.table(owner)[:full]):
            return False
        due = tuple(self.table(owner)[: -(-length // self.block_size)])
        self._fork(owner, held.id)
        with _IN_BLOCKS:
            self._blocks.truncate(held.id, length)
            held.table = tuple(self._blocks.table(held.id))
        if held.table != due:
            sentence = f"fork({owner}, {held.id}) and truncate({held.id}, {length}) give the table"
            raise PartError(
                "block_manager", f"{sentence} {[*held.table]}; request {owner} begins with {[*due]}"
            )
        self._keep(held)
        return True

    def disinherit(self, id: int) -> None:
        """The sample needs nothing that is held, or not any more."""
        for held in self._held.copy():
            held.heirs.discard(id)
            if not held.heirs:
                self.give_up(held)

    def give_up(self, held: HeldPrompt) -> None:
        """Hold it no longer."""
        self._held.remove(held)
        self._unlock(held.id)
        with _IN_BLOCKS:
            self._blocks.free(held.id)

    def _keep(self, held: HeldPrompt) -> None:
        self._held.append(held)

    def _held_for(self, tokens: Sequence[int]) -> HeldPrompt | None:
        """The longest prompt held that is less than `tokens` and begins it."""
        fitting = [
            held
            for held in self._held
            if len(held.tokens) < len(tokens) and tuple(tokens[: len(held.tokens)]) == held.tokens
        ]
        return max(fitting, key=lambda held: len(held.tokens), default=None)

    def _fork(self, parent: int, child: int) -> None:
        with _IN_BLOCKS:
            self._blocks.fork(parent, child)
        if parent in self._locked:
            self._pages.lock(self._locked[parent])
            self._locked[child] = self._locked[parent]

    def _borrow(self, id: int, num_tokens: int, held: HeldPrompt) -> int | None:
        """As `admit`, with all that is held. While somebody runs, what does not fit may wait for
        blocks."""
        self._fork(held.id, id)
        last = held.heirs <= {id}
        if last:
            self.give_up(held)
        copies = self._grow(id, num_tokens)
        if copies is None and not self._lengths:
            self._give_up_all()
            copies = self._grow(id, num_tokens)
        elif copies is None and last:
            self._fork(id, held.id)
            self._keep(held)
        if copies is None:
            self._unlock(id)
            with _IN_BLOCKS:
                self._blocks.free(id)
            return None
        self._lengths[id] = num_tokens
        self.forked[id] = copies
        self.disinherit(id)
        return len(held.tokens)

    def _grow(self, id: int, num_tokens: int) -> list[Copy] | None:
        """Grow a sequence that is being admitted, leaving the watermark; the copies, None when it
        does not fit."""
        if not self._evict(self._lacking(id, num_tokens) + self._watermark):
            return None
        with _IN_BLOCKS:
            return self._blocks.extend(id, num_tokens)[1]

    def _give_up_all(self) -> bool:
        """Hold nothing any longer; whether anything was held."""
        given = bool(self._held)
        for held in self._held.copy():
            self.give_up(held)
        return given

    # ---------------------------------------------------------------- between the two parts

    def _make_room(self, num_tokens: int, shared: tuple[Block, ...]) -> bool:
        """Evict what an admission lacks; False, with nothing changed, when that is more than is
        evictable.

        A block manager that takes more blocks than the tokens fill (the naive one) is given room
        block by block.
        """
        with _IN_BLOCKS:
            if self._blocks.can_admit(num_tokens, shared):
                return True
            needed = -(-num_tokens // self.block_size) - len(shared)
            lacking = needed + self._watermark - self._blocks.num_free
        if not self._evict(lacking):
            return self._give_up_all() and self._make_room(num_tokens, shared)
        with _IN_BLOCKS:
            while not self._blocks.can_admit(num_tokens, shared):
                if not self._evict(1) and not self._give_up_all():
                    return False
        return True

    def _evict_and_extend(self, id: int, num_tokens: int) -> list[Copy] | None:
        lacking = self._lacking(id, num_tokens)
        if lacking < 1:
            return None
        evicted = self._evict(lacking)
        if not evicted and self._give_up_all():
            evicted = self._evict(self._lacking(id, num_tokens))
        if not evicted:
            return None
        with _IN_BLOCKS:
            return self._blocks.extend(id, num_tokens)[1]

    def _lacking(self, id: int, num_tokens: int) -> int:
        """Blocks that have to fall free before the sequence can grow so far."""
        with _IN_BLOCKS:
            return self._blocks.blocks_needed(id, num_tokens) - self._blocks.num_free

    def _evict(self, lacking: int) -> bool:
        """Evict so many blocks and release them; False, with nothing changed, when fewer are
        evictable."""
        if lacking > 0:
            evicted = self._pages.evict(lacking)
            if evicted is None:
                return False
            self._release(evicted)
        return True

    def _release(self, evicted: Sequence[Block]) -> None:
        with _IN_BLOCKS:
            self._blocks.release(evicted)

    def _insert(self, id: int, tokens: Sequence[int]) -> object | None:
        """Insert the full blocks of `tokens`; the handle on them, or None when nothing was newly
        stored."""
        full = len(tokens) // self.block_size
        if not full or not self._pages.open:
            return None
        blocks = list(self.table(id)[:full])
        reused, node = self._pages.insert(tokens[: full * self.block_size], blocks)
        first = reused // self.block_size
        if not blocks[first:]:
            return None
        self._retain(id, first, blocks[first:])
        return node

    def _retain(self, id: int, first: int, new: Sequence[Block]) -> None:
        """The cache holds `new`, a request's blocks from the place `first` on."""
        with _IN_BLOCKS:
            self._blocks.retain(new)

    def _unlock(self, id: int) -> None:
        if id in self._locked:
            self._pages.unlock(self._locked.pop(id))

    # ---------------------------------------------------------------- whose mistake

    def _length(self, id: int) -> int:
        if id not in self._lengths:
            raise KeyError(f"request {id} holds no blocks")
        return self._lengths[id]

    def _check_offered(self, id: int, tokens: Sequence[int]) -> None:
        if len(tokens) > self._length(id):
            raise ValueError(
                f"request {id} holds {self._lengths[id]} tokens, {len(tokens)} were offered"
            )


class _Pages:
    """The prefix cache as the manager sees it: perhaps none at all, and its mistakes named."""

    def __init__(self, cache: PrefixCache | None, namespace: Hashable) -> None:
        self._cache = cache
        self._namespace = namespace
        self.open = cache is not None

    def match(self, tokens: Sequence[int]) -> tuple[int, tuple[Block, ...], object]:
        """Length, blocks and handle of the longest cached prefix."""
        if self._cache is None:
            return 0, (), None
        with _IN_CACHE:
            match = self._cache.match(tokens, self._namespace)
            return match.length, tuple(match.blocks), match.node

    def insert(self, tokens: Sequence[int], blocks: Sequence[Block]) -> tuple[int, object]:
        """Tokens held already, and the handle on the path. There is a cache."""
        assert self._cache is not None
        with _IN_CACHE:
            inserted = self._cache.insert(tokens, blocks, self._namespace)
            return inserted.reused, inserted.node

    def lock(self, node: object) -> None:
        assert self._cache is not None
        with _IN_CACHE:
            self._cache.lock(node)

    def unlock(self, node: object) -> None:
        assert self._cache is not None
        with _IN_CACHE:
            self._cache.unlock(node)

    @property
    def evictable(self) -> int:
        """Blocks that can be had back."""
        with _IN_CACHE:
            return self._cache.evictable if self._cache is not None else 0

    def evict(self, count: int) -> list[Block] | None:
        """Evict exactly `count` blocks; None, with nothing changed, when fewer are evictable."""
        if self._cache is None:
            return None
        with _IN_CACHE:
            if self._cache.evictable < count:
                return None
            evicted = self._cache.evict(count)
            if len(evicted) != count:
                raise ValueError(f"evict({count}) returned {len(evicted)} blocks")
            return evicted


class _Blaming:
    """What is raised inside is the fault of one part, unless another has been blamed already:
    PartError."""

    def __init__(self, slot: str) -> None:
        self.slot = slot

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Exception) and not isinstance(error, PartError):
            raise self.blamed(error) from error

    def blamed(self, error: Exception) -> PartError:
        """What the part raised, as its mistake."""
        return PartError(self.slot, f"raised {type(error).__name__}: {error}")


_IN_BLOCKS = _Blaming("block_manager")
_IN_CACHE = _Blaming("prefix_cache")
