"""What a block manager has to be like: two dicts and a counter.

The specification hands out nothing. It is told which blocks the part handed out, checks that it was
allowed to, and follows. So any order of handing out blocks is right, and so is any order within a
list of new or of freed blocks; only what the contract fixes is compared.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from graders.checking.failure import Deviation, Refusals, plural

OUT_OF_BLOCKS = "OutOfBlocks"


class BlockManagerSpec:
    """The state of the pool as the contract has it: tables, lengths, and how often each block is
    retained."""

    def __init__(self, num_blocks: int, block_size: int, watermark: int = 0) -> None:
        self.num_blocks = num_blocks
        self.block_size = block_size
        self.watermark = watermark
        self.tables: dict[int, list[int]] = {}
        self.lengths: dict[int, int] = {}
        self.retained: Counter[int] = Counter()
        self._refs: dict[int, int] = {}  # of blocks with ref > 0: tables that list it, and retains

    # ------------------------------------------------------------ what can be asked

    def ref(self, block: int) -> int:
        return self._refs.get(block, 0)

    @property
    def referenced(self) -> list[int]:
        """Blocks with ref > 0, ascending."""
        return sorted(self._refs)

    @property
    def free_blocks(self) -> list[int]:
        return [block for block in range(1, self.num_blocks) if block not in self._refs]

    @property
    def num_free(self) -> int:
        return self.num_blocks - 1 - len(self._refs)

    def blocks_for(self, tokens: int) -> int:
        return -(-tokens // self.block_size)

    def copies(self, seq: int, num_tokens: int) -> bool:
        """Whether the first position written by extend(seq, num_tokens) lies in a block with ref >
        1."""
        length = self.lengths[seq]
        return (
            num_tokens > length
            and length % self.block_size != 0
            and self.ref(self.tables[seq][-1]) > 1
        )

    def needed(self, seq: int, num_tokens: int) -> int:
        """blocks_needed for num_tokens >= length."""
        return self.blocks_for(num_tokens) - len(self.tables[seq]) + self.copies(seq, num_tokens)

    def full_blocks(self, seq: int) -> list[int]:
        return self.tables[seq][: self.lengths[seq] // self.block_size]

    # ------------------------------------------------------------ what must be refused

    def refuse_admit(
        self, seq: int | None, num_tokens: int, shared: Sequence[int] = ()
    ) -> Refusals:
        """seq: None for one that nobody is called."""
        refusals = {}
        if seq in self.tables:
            refusals["ValueError"] = f"sequence {seq} exists already"
        refusals |= self._refuse_request(num_tokens, shared)
        count = self.blocks_for(num_tokens) - len(shared)
        if self.num_free - count < self.watermark:
            keep = (
                f", and {self.watermark} must stay free (the watermark)" if self.watermark else ""
            )
            refusals[OUT_OF_BLOCKS] = f"it takes {plural(count)}, {self.num_free} are free{keep}"
        return refusals

    def _refuse_request(self, num_tokens: int, shared: Sequence[int]) -> Refusals:
        free = [block for block in shared if not self.ref(block)]
        if num_tokens < 1:
            return {"ValueError": f"num_tokens is {num_tokens}"}
        if free:
            return {"ValueError": f"shared block {free[0]} is {self._unowned(free[0])}"}
        if len(set(shared)) < len(shared):
            return {"ValueError": "a shared block is repeated"}
        if len(shared) > self.blocks_for(num_tokens):
            return {
                "ValueError": f"{plural(len(shared), 'shared block')} are too many for {plural(num_tokens, 'token')}"
            }
        return {}

    def _unowned(self, block: int) -> str:
        return "free" if block else "scratch: nobody owns it"

    def refuse_extend(self, seq: int, num_tokens: int) -> Refusals:
        if seq not in self.tables:
            return {"KeyError": f"there is no sequence {seq}"}
        if num_tokens < self.lengths[seq]:
            return {"ValueError": f"its length is {self.lengths[seq]} already"}
        if self.needed(seq, num_tokens) > self.num_free:
            copy = ", one of them for the copy" if self.copies(seq, num_tokens) else ""
            needed = plural(self.needed(seq, num_tokens))
            return {OUT_OF_BLOCKS: f"it takes {needed}{copy}, {self.num_free} are free"}
        return {}

    def refuse_truncate(self, seq: int, num_tokens: int) -> Refusals:
        if seq not in self.tables:
            return {"KeyError": f"there is no sequence {seq}"}
        if num_tokens < 0:
            return {"ValueError": "num_tokens is below 0"}
        if num_tokens > self.lengths[seq]:
            return {"ValueError": f"its length is only {self.lengths[seq]}"}
        return {}

    def refuse_fork(self, parent: int, child: int) -> Refusals:
        refusals = {}
        if parent not in self.tables:
            refusals["KeyError"] = f"there is no sequence {parent}"
        if child in self.tables:
            refusals["ValueError"] = f"sequence {child} exists already"
        return refusals

    def refuse_unknown(self, seq: int) -> Refusals:
        return {} if seq in self.tables else {"KeyError": f"there is no sequence {seq}"}

    def refuse_retain(self, blocks: Sequence[int]) -> Refusals:
        free = [block for block in blocks if not self.ref(block)]
        return {"ValueError": f"block {free[0]} is {self._unowned(free[0])}"} if free else {}

    def refuse_release(self, blocks: Sequence[int]) -> Refusals:
        for block, count in Counter(blocks).items():
            if count > self.retained[block]:
                times = plural(self.retained[block], "time")
                return {
                    "ValueError": f"block {block} was retained {times} and would be released {plural(count, 'time')}"
                }
        return {}

    # ------------------------------------------------------------ what the part did, checked and
    # followed

    def admitted(
        self, seq: int, num_tokens: int, shared: Sequence[int], new: list[int], table: list[int]
    ) -> None:
        """admit returned `new`, and table(seq) is now `table`."""
        count = self.blocks_for(num_tokens) - len(shared)
        why = f"ceil({num_tokens} / {self.block_size}) = {self.blocks_for(num_tokens)}"
        why += f", less {len(shared)} shared" if shared else ""
        self._allow("admit", new, count, why)
        self._table("admit", seq, list(shared), new, table)
        self._follow(seq, num_tokens, table)

    def extended(
        self,
        seq: int,
        num_tokens: int,
        new: list[int],
        copies: list[tuple[int, int]],
        table: list[int],
    ) -> None:
        """extend returned `new` and `copies` as (src, dst), and table(seq) is now `table`."""
        old = self.tables[seq]
        copied = self.copies(seq, num_tokens)
        grown = self.blocks_for(num_tokens) - len(old)
        self._copies(seq, copied, copies)
        why = f"{len(old)} -> {self.blocks_for(num_tokens)} in the table" + (
            ", and one for the copy" if copied else ""
        )
        self._allow("extend", new, grown + copied, why)
        kept = old
        if copied:
            fresh = copies[0][1]
            if fresh not in new:
                raise Deviation(
                    f"`extend` copies to block {fresh} but does not list it among the new blocks.",
                    f"{new}",
                    f"{fresh} in it",
                )
            kept, new = [*old[:-1], fresh], [block for block in new if block != fresh]
        self._table("extend", seq, kept, new, table)
        self._follow(seq, num_tokens, table)

    def _copies(self, seq: int, due: bool, copies: list[tuple[int, int]]) -> None:
        tail = self.tables[seq][-1] if self.tables[seq] else 0
        got = f"{plural(len(copies), 'Copy')}".replace("Copys", "Copies")
        if due and not copies:
            message = f"`extend` wrote into block {tail}, which has ref {self.ref(tail)}, without copying it first."
            raise Deviation(message, "no Copy", f"one Copy from block {tail} to a fresh block")
        if due and (len(copies) > 1 or copies[0][0] != tail):
            source = f"from block {copies[0][0]}" if len(copies) == 1 else ""
            message = f"`extend` must copy exactly the block it writes to, block {tail}."
            raise Deviation(
                message, f"{got} {source}".strip(), f"one Copy from block {tail} to a fresh block"
            )
        if not due and copies:
            raise Deviation(
                f"`extend` made a Copy although {self._no_copy(seq, tail)}.", got, "no Copy"
            )

    def _no_copy(self, seq: int, tail: int) -> str:
        length = self.lengths[seq]
        if not length % self.block_size:
            return f"position {length}, the first it writes, falls into a new block"
        if self.ref(tail) == 1:
            return f"block {tail} has ref 1: the last owner writes in place"
        return "nothing is written"

    def drop(self, seq: int, num_tokens: int | None) -> list[int]:
        """Truncate, or free when num_tokens is None; the blocks whose ref fell to 0."""
        old = self.tables.pop(seq)
        kept = [] if num_tokens is None else old[: self.blocks_for(num_tokens)]
        if num_tokens is None:
            del self.lengths[seq]
        else:
            self.tables[seq] = kept
            self.lengths[seq] = num_tokens
        return self._lose(old[len(kept) :])

    def dropped(self, method: str, seq: int, num_tokens: int | None, returned: list[int]) -> None:
        """free (num_tokens None) or truncate returned `returned`; the order is free."""
        self._freed(method, returned, self.drop(seq, num_tokens))

    def all_freed(self, seqs: Sequence[int], returned: list[int]) -> None:
        """free of each in turn returned these blocks, all in all."""
        self._freed("free", returned, [block for seq in seqs for block in self.drop(seq, None)])

    def retain(self, blocks: Sequence[int]) -> None:
        self.retained.update(blocks)
        self._gain(blocks)

    def release(self, blocks: Sequence[int]) -> list[int]:
        """The blocks whose ref fell to 0."""
        self.retained.subtract(blocks)
        return self._lose(blocks)

    def released(self, blocks: Sequence[int], returned: list[int]) -> None:
        """release returned `returned`; the order is free."""
        self._freed("release", returned, self.release(blocks))

    def forked(self, parent: int, child: int) -> None:
        self._follow(child, self.lengths[parent], list(self.tables[parent]))

    def _follow(self, seq: int, num_tokens: int, table: list[int]) -> None:
        """The sequence has this length and this table from now on."""
        old = self.tables.get(seq, [])
        kept = len(old) if table[: len(old)] == old else len(old) - 1
        self._gain(table[kept:])
        self._lose(old[kept:])
        self.tables[seq], self.lengths[seq] = table, num_tokens

    def _gain(self, blocks: Iterable[int]) -> None:
        for block in blocks:
            self._refs[block] = self._refs.get(block, 0) + 1

    def _lose(self, blocks: Iterable[int]) -> list[int]:
        """The blocks whose ref fell to 0."""
        fallen = []
        for block in blocks:
            self._refs[block] -= 1
            if not self._refs[block]:
                del self._refs[block]
                fallen.append(block)
        return fallen

    def _freed(self, method: str, returned: list[int], due: list[int]) -> None:
        if sorted(returned) == sorted(due):
            return
        free = ", in any order" if len(due) > 1 else ""
        raise Deviation(
            self._wrong_drop(method, returned, due), f"{returned}", f"{sorted(due)}{free}"
        )

    def _wrong_drop(self, method: str, returned: list[int], due: list[int]) -> str:
        held = [block for block in returned if self.ref(block)]
        if held:
            return f"`{method}` gave back block {held[0]}, which is still referenced (ref {self.ref(held[0])})."
        if len(returned) > len(set(returned)):
            return f"`{method}` gave a block back twice."
        missing = [block for block in due if block not in returned]
        if missing:
            return f"`{method}` did not give back block {missing[0]}, whose ref fell to 0."
        return f"`{method}` gave back blocks that it did not free."

    def _allow(self, method: str, new: list[int], count: int, why: str) -> None:
        """The part handed out `new`; `count` blocks were due."""
        got, expected = f"{new}", plural(count, "new block")
        if 0 in new:
            raise Deviation(f"`{method}` handed out block 0, which is scratch.", got, expected)
        beyond = [block for block in new if not 0 < block < self.num_blocks]
        if beyond:
            message = f"`{method}` handed out block {beyond[0]}; the pool has blocks 1 to {self.num_blocks - 1}."
            raise Deviation(message, got, expected)
        if len(set(new)) < len(new):
            raise Deviation(f"`{method}` handed out a block twice.", got, expected)
        if len(new) != count:
            message = f"`{method}` returned {plural(len(new), 'new block')}; {count} due: {why}."
            raise Deviation(message, got, expected)
        held = [block for block in new if self.ref(block)]
        if held:
            raise Deviation(
                f"`{method}` handed out block {held[0]}, which {self._holder(held[0])}.",
                got,
                "free blocks",
            )

    def _holder(self, block: int) -> str:
        owners = [seq for seq, table in self.tables.items() if block in table]
        return f"is in the table of sequence {owners[0]}" if owners else "is retained"

    def _table(
        self, method: str, seq: int, kept: list[int], new: list[int], table: list[int]
    ) -> None:
        """The table must be `kept`, then the blocks of `new` in some order."""
        grown = table[len(kept) :]
        if table[: len(kept)] == kept and sorted(grown) == sorted(new):
            return
        due = len(kept) + len(new)
        if len(table) != due:
            kept_list = (
                " (Was the caller's list of shared blocks kept, not copied?)"
                if method == "admit" and kept
                else ""
            )
            message = (
                f"table({seq}) has {plural(len(table))} after `{method}`; {due} due.{kept_list}"
            )
        elif table[: len(kept)] != kept:
            message = f"table({seq}) does not open with {kept} after `{method}`."
        else:
            message = f"table({seq}) does not hold the blocks that `{method}` said are new."
        raise Deviation(
            message,
            f"{table}",
            f"{kept + new}" + (" (the new ones in any order)" if len(new) > 1 else ""),
        )
