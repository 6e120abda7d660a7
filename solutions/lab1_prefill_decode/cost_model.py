"""Lab 1: what a step of an engine costs, before anything is run. Reading is arithmetic, writing is memory.

Six formulas, on paper first. The experiment of the lab measures the same quantities on your machine and draws both into
one picture; what lies between them is overhead, and has a name.

A model is a `Shape` of `reference_engine.slots`. A layer of it holds seven matrices and two norms; H is the width of
all query heads together, `heads * head_width`, and K that of all key heads, `kv_heads * head_width`:

    queries  width -> H       keys, values  width -> K each       output  H -> width
    gate, up  width -> inner each          down  inner -> width
    two norms of `width` numbers; one more norm stands behind the last layer

The embedding is `vocab` rows of `width` numbers. The LM head, `width -> vocab`, is a matrix of its own, or, when
`tied`, the embedding once more.

How operations are counted: a multiply-add is 2. Norms, rotary positions, softmax and activations are left out; they are
few. Bytes: every number takes `bytes_per_value`. All counts are exact ints, however large the model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from reference_engine.slots import Shape

### BEGIN SOLUTION


def _layer(shape: Shape) -> int:
    """Numbers in the matrices of one layer."""
    queries, keys = shape.heads * shape.head_width, shape.kv_heads * shape.head_width
    return shape.width * (2 * queries + 2 * keys + 3 * shape.inner)


def _norms(shape: Shape) -> int:
    return shape.width * (2 * shape.layers + 1)


def _kv(shape: Shape) -> int:
    """Numbers that a token leaves in the KV cache."""
    return 2 * shape.layers * shape.kv_heads * shape.head_width


### END SOLUTION


def parameters(shape: Shape) -> int:
    """Every weight of the model: embedding, layers, norms, LM head. A tied LM head is the embedding, so it counts once.

    >>> parameters(Shape(vocab=10, width=4, layers=1, heads=2, kv_heads=1, head_width=2, inner=6, tied=True))
    172
    >>> parameters(Shape(vocab=10, width=4, layers=1, heads=2, kv_heads=1, head_width=2, inner=6, tied=False))
    212
    """
    ### BEGIN SOLUTION
    tables = 1 if shape.tied else 2
    return shape.layers * _layer(shape) + _norms(shape) + tables * shape.vocab * shape.width
    ### END SOLUTION


def kv_bytes_per_token(shape: Shape, bytes_per_value: int) -> int:
    """What one token leaves in the KV cache: a key and a value for each head of keys and values, in every layer.

    >>> kv_bytes_per_token(Shape(10, 4, layers=3, heads=2, kv_heads=1, head_width=2, inner=6, tied=True), 2)
    24
    """
    ### BEGIN SOLUTION
    return _kv(shape) * bytes_per_value
    ### END SOLUTION


def operations(shape: Shape, new_tokens: int, context: int) -> int:
    """Arithmetic of reading `new_tokens` tokens of one request, whose first `context` tokens are in the cache already.

    Each new token goes through all matrices of all layers. In every layer each query head compares it with the keys it
    may see (2 * head_width a key) and mixes their values (as much again). Reading is causal: new token i, counted from
    0, sees the cached tokens, those before it and itself, so context + i + 1 of them. The LM head is asked once, after
    the last token. new_tokens is at least 1.

    >>> shape = Shape(vocab=10, width=4, layers=1, heads=2, kv_heads=1, head_width=2, inner=6, tied=True)
    >>> operations(shape, 1, 0), operations(shape, 1, 7), operations(shape, 2, 0)
    (336, 448, 608)
    """
    ### BEGIN SOLUTION
    matrices = 2 * shape.layers * _layer(shape) * new_tokens
    seen = new_tokens * context + new_tokens * (new_tokens + 1) // 2
    attention = 4 * shape.layers * shape.heads * shape.head_width * seen
    return matrices + attention + 2 * shape.width * shape.vocab
    ### END SOLUTION


def decode_bytes(shape: Shape, contexts: Sequence[int], bytes_per_value: int) -> int:
    """Bytes that move in one decode step of len(contexts) requests; request i has contexts[i] tokens in the cache.

    The matrices of the layers, the LM head and all norms are read once, however many requests there are: that is what
    a batch is for. The LM head is read when it is tied, too. Of the embedding one row is read for each request. The
    cached KV of each request is read, and the KV of its new token written.

    >>> shape = Shape(vocab=10, width=4, layers=1, heads=2, kv_heads=1, head_width=2, inner=6, tied=True)
    >>> decode_bytes(shape, [0], 2), decode_bytes(shape, [5, 5], 2)
    (360, 456)
    """
    ### BEGIN SOLUTION
    requests, cached = len(contexts), sum(contexts)
    weights = shape.layers * _layer(shape) + shape.vocab * shape.width + _norms(shape)
    return (weights + requests * shape.width + (cached + requests) * _kv(shape)) * bytes_per_value
    ### END SOLUTION


def floor_seconds(operations: int, bytes_moved: int, peak: float, bandwidth: float) -> float:
    """The least time a step can take: arithmetic and memory may overlap, so the longer of the two counts.

    peak: operations a second. bandwidth: bytes a second.

    >>> floor_seconds(6_000, 1_000, peak=1_000.0, bandwidth=100.0)
    10.0
    """
    ### BEGIN SOLUTION
    return max(operations / peak, bytes_moved / bandwidth)
    ### END SOLUTION


def break_even_batch(shape: Shape, context: int, bytes_per_value: int, peak: float, bandwidth: float) -> int | None:
    """The smallest batch of a decode step at which arithmetic takes at least as long as memory; None if no batch does.

    Every request of the batch has `context` tokens in the cache. A further request brings arithmetic and KV of its own,
    while the weights are read once for all; where its own KV alone takes longer than its own arithmetic, the batch
    stays bound by memory however large it grows. Where the lines meet at a whole batch, it is that batch. It may be a
    billion, or none: solve for it, whoever tries one batch after the other does not come back.

    >>> shape = Shape(vocab=10, width=4, layers=1, heads=2, kv_heads=1, head_width=2, inner=6, tied=True)
    >>> break_even_batch(shape, 0, 2, peak=4_000.0, bandwidth=1_000.0), break_even_batch(shape, 0, 2, 9e9, 1e3)
    (6, None)
    """
    ### BEGIN SOLUTION
    alone = decode_bytes(shape, [context], bytes_per_value)
    each = decode_bytes(shape, [context, context], bytes_per_value) - alone
    won = operations(shape, 1, context) * bandwidth - each * peak  # by each further request
    return max(1, math.ceil((alone - each) * peak / won)) if won > 0 else None
    ### END SOLUTION
