"""The contracts: what a part of the engine is given, what it returns, what it raises.

A learner's part, the solutions, the naive parts and the graders all meet here and nowhere else.
Ids, block tables and plans cross as ints and tuples; tensors stay inside the runner and exercise 4.
This module imports no torch.

Terms. A *block* holds `block_size` tokens of KV. A sequence's *block table* lists its blocks in
order. Token position p lives in *slot* `table[p // block_size] * block_size + p % block_size`.
Block 0 is scratch: padding rows of a captured graph write there, so it is never handed out.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    from torch import Generator, Tensor

Block = int
Policy = Literal["fcfs", "priority"]
SCRATCH: Block = 0


class OutOfBlocks(Exception):
    """Blocks are lacking. Raised with no state changed."""


# ---------------------------------------------------------------- exercise 1: paged allocation


@dataclass(frozen=True, slots=True)
class Copy:
    """Copy the KV of the whole block `src` to block `dst` before this step's writes."""

    src: Block
    dst: Block


@runtime_checkable
class BlockManager(Protocol):
    """Hands out blocks `1 .. num_blocks - 1` to sequences (vLLM's block manager, SOSP'23).

    Laws: references are conserved (tables + retains); free and referenced blocks partition
    1..num_blocks-1; `len(table) == ceil(length / block_size)`; every call is all or nothing; a
    block with ref > 1 is never written; each diverging writer but the last gets exactly one `Copy`;
    `can_admit` is true exactly when `admit` succeeds; any order of handing out blocks is right; an
    `extend` without a new block is O(1), nothing scans the pool.
    """

    def __init__(self, num_blocks: int, block_size: int, *, watermark: int = 0) -> None: ...

    @property
    def num_free(self) -> int: ...

    def length(self, seq: int) -> int: ...

    def table(self, seq: int) -> Sequence[Block]: ...

    def ref(self, block: Block) -> int: ...

    def blocks_needed(self, seq: int, num_tokens: int) -> int: ...

    def can_admit(self, num_tokens: int, shared: Sequence[Block] = ()) -> bool: ...

    def admit(self, seq: int, num_tokens: int, shared: Sequence[Block] = ()) -> list[Block]: ...

    def extend(self, seq: int, num_tokens: int) -> tuple[list[Block], list[Copy]]: ...

    def truncate(self, seq: int, num_tokens: int) -> list[Block]: ...

    def fork(self, parent: int, child: int) -> None: ...

    def free(self, seq: int) -> list[Block]: ...

    def retain(self, blocks: Iterable[Block]) -> None: ...

    def release(self, blocks: Iterable[Block]) -> list[Block]: ...


# ---------------------------------------------------------------- exercise 2: continuous batching


@dataclass(slots=True)
class Request:
    """One request: `prompt` token ids, at most `max_new` tokens to emit; `commit` appends to
    `output`.

    `priority`: lower runs first when the policy is "priority". `eos`: emitting it ends the request
    and it is kept as the last token; None means that only `max_new` ends it.
    """

    id: int
    prompt: list[int]
    max_new: int
    priority: int = 0
    eos: int | None = None
    output: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Chunk:
    """Compute the KV of tokens [start, start + length) of request `id`; `samples`: the last known
    token too."""

    id: int
    start: int
    length: int
    samples: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """One step: the chunks to compute, the ids preempted while planning, the block copies to run
    first."""

    chunks: tuple[Chunk, ...]
    preempted: tuple[int, ...]
    copies: tuple[Copy, ...]


class KVManager(Protocol):
    """Given to a scheduler: joins a `BlockManager` and a `PrefixCache` (see
    `reference_engine.kv_manager`).

    `capacity` is the number of tokens that one request can ever hold: (num_blocks - 1 - watermark)
    * block_size.
    """

    block_size: int
    capacity: int

    def lookup(self, tokens: Sequence[int]) -> int:
        """Length of the cached prefix usable now; always < len(tokens)."""

    def admit(self, id: int, tokens: Sequence[int], num_tokens: int) -> int | None:
        """Borrow the cached prefix of `tokens`, own the rest up to `num_tokens`. The cached length;
        None: does not fit, nothing changed. ValueError: the id holds blocks already, or num_tokens
        is not above the cached length."""

    def extend(self, id: int, num_tokens: int) -> list[Copy] | None:
        """Grow TO num_tokens. The copies to run; None: does not fit, nothing changed. KeyError: the
        id holds no blocks; ValueError: it holds more than num_tokens."""

    def truncate(self, id: int, num_tokens: int) -> None:
        """Shrink TO num_tokens. KeyError: the id holds no blocks; ValueError: it holds fewer than
        num_tokens."""

    def drop(self, id: int, tokens: Sequence[int]) -> None:
        """Give everything back; `tokens`, whose KV is computed and kept, are offered to the cache.
        KeyError: the id holds no blocks; ValueError: it holds fewer than len(tokens)."""


@runtime_checkable
class Scheduler(Protocol):
    """Decides what each step computes (iteration-level scheduling: Orca, OSDI'22). Contract:
    exercise 2."""

    def __init__(
        self,
        kv: KVManager,
        *,
        max_seqs: int,
        token_budget: int,
        chunk: int | None = None,
        lookahead: int = 0,
        policy: Policy = "fcfs",
    ) -> None: ...

    @property
    def idle(self) -> bool: ...

    def add(self, request: Request) -> None: ...

    def abort(self, id: int) -> None: ...

    def plan(self) -> Plan: ...

    def commit(self, plan: Plan, tokens: Mapping[int, Sequence[int]]) -> list[int]: ...


# ---------------------------------------------------------------- exercise 3: prefix cache


@dataclass(frozen=True, slots=True)
class Match:
    """The longest stored block-aligned prefix: `length` tokens (a multiple of block_size), its
    blocks, a handle."""

    length: int
    blocks: tuple[Block, ...]
    node: object


@dataclass(frozen=True, slots=True)
class Inserted:
    """`reused` tokens were already held (the caller keeps its duplicate blocks); `node`: handle on
    the path."""

    reused: int
    node: object


@runtime_checkable
class PrefixCache(Protocol):
    """A forest of cached blocks, one root a namespace (RadixAttention, SGLang). Contract: exercise
    3."""

    def __init__(self, block_size: int) -> None: ...

    @property
    def evictable(self) -> int: ...

    @property
    def protected(self) -> int: ...

    def match(self, tokens: Sequence[int], namespace: Hashable = None) -> Match: ...

    def lock(self, node: object) -> None: ...

    def unlock(self, node: object) -> None: ...

    def insert(
        self, tokens: Sequence[int], blocks: Sequence[Block], namespace: Hashable = None
    ) -> Inserted: ...

    def evict(self, num_blocks: int) -> list[Block]: ...


# ---------------------------------------------------------------- exercise 4: Medusa verification


@dataclass(frozen=True)
class Tree:
    """A tree of guesses, nodes sorted by (depth, path); node 0 is the base model's own token.

    parent  int64 [N], parent[0] = -1
    depth   int64 [N], depth[0] = 0
    rank    int64 [N], index into the head's top-k, rank[0] = 0
    mask    bool  [N, N], mask[i, j]: j is i or an ancestor of i
    """

    parent: Tensor
    depth: Tensor
    rank: Tensor
    mask: Tensor


@dataclass(frozen=True)
class Verdict:
    """What verification decided for a batch of B rows, D being the depth of the tree.

    count  int64 [B], guesses accepted, 0..D
    nodes  int64 [B, D + 1], the accepted path, nodes[:, 0] = 0, -1 after count
    next   int64 [B], the token after them
    """

    count: Tensor
    nodes: Tensor
    next: Tensor


class Verification(Protocol):
    """The functions of exercise 4 (Medusa, arXiv 2401.10774); a module is one."""

    def build_tree(self, choices: Sequence[tuple[int, ...]]) -> Tree: ...

    def propose(self, tree: Tree, root: Tensor, topk: Tensor) -> Tensor: ...

    def verify_greedy(self, tree: Tree, tokens: Tensor, argmax: Tensor) -> Verdict: ...

    def verify_typical(
        self,
        tree: Tree,
        tokens: Tensor,
        logits: Tensor,
        *,
        temperature: float,
        epsilon: float,
        delta: float,
        generator: Generator | None = None,
    ) -> Verdict: ...

    def compact(self, verdict: Verdict, slots: Tensor) -> tuple[Tensor, Tensor]: ...


# ---------------------------------------------------------------- exercise 5: speculative sampling


@dataclass(frozen=True)
class Accepted:
    """What stands of K guesses in a row, for a batch of B rows.

    count  int64 [B], guesses that stand, 0..K
    next   int64 [B], the token after them
    """

    count: Tensor
    next: Tensor


class SpeculativeSampling(Protocol):
    """The functions of exercise 5 (Leviathan et al., arXiv 2211.17192); a module is one."""

    def probabilities(
        self, logits: Tensor, *, temperature: float, top_k: int = 0, top_p: float = 1.0
    ) -> Tensor: ...

    def accept_chain(
        self, draft: Tensor, q: Tensor, p: Tensor, u: Tensor, v: Tensor
    ) -> Accepted: ...

    def accept_siblings(
        self, tokens: Tensor, q: Tensor, p: Tensor, u: Tensor, v: Tensor
    ) -> tuple[Tensor, Tensor]: ...


# ---------------------------------------------------------------- exercise 6: the draft tree of
# EAGLE


@dataclass(frozen=True)
class Growth:
    """The candidates of B rows so far, M in each, in order of creation; the root is left out.

    token   int64 [B, M]
    parent  int64 [B, M], index of a candidate, -1: the root
    depth   int64 [B, M], from 1
    value   float [B, M], log-probability of the path from the root, never above that of the parent
    """

    token: Tensor
    parent: Tensor
    depth: Tensor
    value: Tensor


@dataclass(frozen=True)
class DraftTree:
    """A tree of guesses for each row, N nodes sorted by (depth, creation); node 0 is the root.

    token   int64 [B, N], token[:, 0] the root's
    parent  int64 [B, N], a node number, parent[:, 0] = -1
    depth   int64 [B, N], depth[:, 0] = 0
    mask    bool  [B, N, N], mask[b, i, j]: in row b, j is i or an ancestor of i
    """

    token: Tensor
    parent: Tensor
    depth: Tensor
    mask: Tensor


class DraftTrees(Protocol):
    """The functions of exercise 6 (EAGLE-2, arXiv 2406.16858); a module is one."""

    def frontier(self, growth: Growth, depth: int, width: int) -> Tensor: ...

    def grow(
        self, growth: Growth, chosen: Tensor, topk_token: Tensor, topk_logprob: Tensor
    ) -> Growth: ...

    def rerank(self, growth: Growth, root: Tensor, size: int) -> DraftTree: ...


# ---------------------------------------------------------------- exercise 7: paged attention, the
# kernel


class PagedAttention(Protocol):
    """The function of exercise 7 (PagedAttention, SOSP'23; flash decoding); a module is one."""

    def paged_decode(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        tables: Tensor,
        lengths: Tensor,
        scale: float,
        *,
        split: int = 1,
    ) -> Tensor: ...


# ---------------------------------------------------------------- labs


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes of a decoder, as the labs count with them (Llama: RMSNorm, grouped-query attention,
    SwiGLU).

    vocab: tokens. width: numbers of a token's hidden state. heads: of queries, each head_width
    wide; kv_heads of keys and values are shared by them evenly. inner: width of the feed-forward.
    tied: the LM head is the embedding.
    """

    vocab: int
    width: int
    layers: int
    heads: int
    kv_heads: int
    head_width: int
    inner: int
    tied: bool
