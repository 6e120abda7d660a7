"""What the formulas of lab 1 are right about: every tensor of a model and every product of a step,
one by one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import partial
from typing import Any

from graders.checking.formulas import Formula, Mistake, Question, Terms
from reference_engine.slots import Shape

HEAD = "the LM head"
MATRICES = ("queries", "keys", "values", "output", "gate", "up", "down")
PRIMES = Shape(
    vocab=101, width=14, layers=3, heads=6, kv_heads=2, head_width=5, inner=23, tied=False
)
"""Sizes on which no two mistakes come to the same."""


def matrices(shape: Shape) -> dict[str, tuple[int, int]]:
    """Rows and columns of the seven of one layer."""
    queries, keys = shape.heads * shape.head_width, shape.kv_heads * shape.head_width
    sizes = [
        (shape.width, queries),
        (shape.width, keys),
        (shape.width, keys),
        (queries, shape.width),
    ]
    sizes += [(shape.width, shape.inner), (shape.width, shape.inner), (shape.inner, shape.width)]
    return dict(zip(MATRICES, sizes, strict=True))


def weights(shape: Shape) -> Terms:
    """The numbers of every tensor, by name."""
    terms = {
        f"the matrix of {name}": shape.layers * rows * columns
        for name, (rows, columns) in matrices(shape).items()
    }
    terms |= {"the embedding": shape.vocab * shape.width, "the LM head": shape.vocab * shape.width}
    terms |= {
        "the two norms of the layers": shape.layers * 2 * shape.width,
        "the last norm": shape.width,
    }
    return terms


def parameters(shape: Shape) -> int:
    """Numbers in the checkpoint."""
    terms = weights(shape)
    return sum(terms.values()) - (terms["the LM head"] if shape.tied else 0)


def parameter_terms(shape: Shape) -> Terms:
    """What `parameters` is the sum of."""
    terms = dict(weights(shape))
    if shape.tied:
        terms.pop(HEAD)
    return terms


def kv_terms(shape: Shape, bytes_per_value: int) -> Terms:
    """What a token leaves."""
    half = shape.layers * shape.kv_heads * shape.head_width * bytes_per_value
    return {"the key": half, "the value": half}


def operation_terms(shape: Shape, new_tokens: int, context: int) -> Terms:
    """Products, summed token by token."""
    products = 2 * sum(rows * columns for rows, columns in matrices(shape).values())
    seen = sum(context + place + 1 for place in range(new_tokens))
    attention = 2 * shape.layers * shape.heads * shape.head_width * seen
    return {
        "what the matrices of the layers take": sum(
            shape.layers * products for _ in range(new_tokens)
        ),
        "comparing queries with keys": attention,
        "mixing the values": attention,
        "the LM head": 2 * shape.width * shape.vocab,
    }


def decode_terms(shape: Shape, contexts: Sequence[int], bytes_per_value: int) -> Terms:
    """What is read and written, one after the other."""
    sizes, kv = weights(shape), sum(kv_terms(shape, bytes_per_value).values())
    norms = sizes["the two norms of the layers"] + sizes["the last norm"]
    return {
        "reading the matrices of the layers": sum(
            sizes[f"the matrix of {name}"] for name in MATRICES
        )
        * bytes_per_value,
        "reading the LM head": sizes["the LM head"] * bytes_per_value,
        "reading the norms": norms * bytes_per_value,
        "reading a row of the embedding for each request": sum(
            shape.width * bytes_per_value for _ in contexts
        ),
        "reading the cached KV": sum(cached * kv for cached in contexts),
        "writing the KV of the new tokens": sum(kv for _ in contexts),
    }


def summed(terms: Callable[..., Terms]) -> Callable[..., int]:
    """The formula that is the sum of these."""
    return lambda *args, **keywords: sum(terms(*args, **keywords).values())


def floor_seconds(operations: int, bytes_moved: int, peak: float, bandwidth: float) -> float:
    """The longer of two times."""
    return float(
        max(Fraction(operations) / Fraction(peak), Fraction(bytes_moved) / Fraction(bandwidth))
    )


def each(shape: Shape, context: int, bytes_per_value: int) -> int:
    """Bytes that a further request brings."""
    one, two = (
        sum(decode_terms(shape, [context] * count, bytes_per_value).values()) for count in (1, 2)
    )
    return two - one


def lead(
    shape: Shape, context: int, bytes_per_value: int, peak: float, bandwidth: float, batch: int
) -> Fraction:
    """Seconds that the arithmetic of a batch takes longer than its memory, exactly."""
    counted = batch * sum(operation_terms(shape, 1, context).values())
    one = sum(decode_terms(shape, [context], bytes_per_value).values())
    moved = one + (batch - 1) * each(shape, context, bytes_per_value)
    return Fraction(counted) / Fraction(peak) - moved / Fraction(bandwidth)


def break_even_batch(
    shape: Shape,
    context: int,
    bytes_per_value: int,
    peak: float,
    bandwidth: float,
    *,
    longer: bool = False,
) -> int | None:
    """Found by doubling and halving: each further request adds the same. longer: just as long is
    not enough."""

    def enough(batch: int) -> bool:
        found = lead(shape, context, bytes_per_value, peak, bandwidth, batch)
        return found > 0 if longer else found >= 0

    first, second = (
        lead(shape, context, bytes_per_value, peak, bandwidth, batch) for batch in (1, 2)
    )
    if first < 0 and second <= first:
        return None
    low, high = 0, 1
    while not enough(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


# ---------------------------------------------------------------- what is often meant instead


def _as_if(right: Callable[..., int], **sizes: Callable[[Shape], Any]) -> Callable[..., int]:
    """The formula of a shape with other sizes."""

    def formula(shape: Shape, *args: object, **keywords: object) -> int:
        return right(
            replace(shape, **{name: size(shape) for name, size in sizes.items()}), *args, **keywords
        )

    return formula


def _shared(right: Callable[..., int]) -> tuple[Mistake, ...]:
    """What goes wrong in every formula that has a shape."""
    return (
        Mistake(
            "heads of keys and values are as many as those of queries",
            _as_if(right, kv_heads=lambda s: s.heads),
        ),
        Mistake(
            "heads of queries are as few as those of keys",
            _as_if(right, heads=lambda s: s.kv_heads),
        ),
        Mistake("only one layer is counted", _as_if(right, layers=lambda s: 1)),
    )


def _every_head(shape: Shape, new_tokens: int, context: int) -> int:
    terms = operation_terms(shape, new_tokens, context)
    return sum(terms.values()) + (new_tokens - 1) * terms["the LM head"]


def _attention_over(seen: Callable[[int, int], int]) -> Callable[..., int]:
    def formula(shape: Shape, new_tokens: int, context: int) -> int:
        terms = operation_terms(shape, new_tokens, context)
        others = terms["what the matrices of the layers take"] + terms["the LM head"]
        return others + 4 * shape.layers * shape.heads * shape.head_width * seen(
            new_tokens, context
        )

    return formula


def _decode_with(name: str, size: Callable[..., int]) -> Callable[..., int]:
    def formula(shape: Shape, contexts: Sequence[int], bytes_per_value: int) -> int:
        terms = {
            **decode_terms(shape, contexts, bytes_per_value),
            name: size(shape, contexts, bytes_per_value),
        }
        return sum(terms.values())

    return formula


def _without_tied_head(shape: Shape, contexts: Sequence[int], bytes_per_value: int) -> int:
    head = shape.tied * shape.vocab * shape.width * bytes_per_value
    return sum(decode_terms(shape, contexts, bytes_per_value).values()) - head


_operations, _decode = summed(operation_terms), summed(decode_terms)
PARAMETERS = Formula(
    "parameters",
    parameters,
    "weights",
    (
        Mistake(
            "a tied LM head is counted beside the embedding",
            _as_if(parameters, tied=lambda s: False),
        ),
        Mistake("an LM head of its own is not counted", _as_if(parameters, tied=lambda s: True)),
        *_shared(parameters),
    ),
    parameter_terms,
    (Question.of(PRIMES), Question.of(replace(PRIMES, tied=True))),
)
KV = Formula(
    "kv_bytes_per_token",
    summed(kv_terms),
    "bytes",
    (
        Mistake(
            "a token leaves a key and no value", lambda *a, **k: summed(kv_terms)(*a, **k) // 2
        ),
        *_shared(summed(kv_terms)),
    ),
    None,
    (Question.of(PRIMES, bytes_per_value=2),),
)
OPERATIONS = Formula(
    "operations",
    _operations,
    "operations",
    (
        Mistake(
            "a multiply-add counts as one operation", lambda *a, **k: _operations(*a, **k) // 2
        ),
        Mistake("the LM head is asked after every new token", _every_head),
        Mistake(
            "every new token sees all of them, later ones too",
            _attention_over(lambda n, c: n * (c + n)),
        ),
        Mistake(
            "a new token does not see itself",
            _attention_over(lambda n, c: n * c + n * (n - 1) // 2),
        ),
        Mistake(
            "new tokens see the cached ones and themselves alone",
            _attention_over(lambda n, c: n * (c + 1)),
        ),
        Mistake(
            "new tokens do not see the cached ones", _attention_over(lambda n, c: n * (n + 1) // 2)
        ),
        *_shared(_operations),
    ),
    operation_terms,
    (Question.of(PRIMES, new_tokens=7, context=11), Question.of(PRIMES, new_tokens=1, context=13)),
)
DECODE = Formula(
    "decode_bytes",
    _decode,
    "bytes",
    (
        Mistake(
            "the whole embedding is read",
            _decode_with(
                "reading a row of the embedding for each request",
                lambda s, c, b: s.vocab * s.width * b,
            ),
        ),
        Mistake("a tied LM head is not read", _without_tied_head),
        Mistake(
            "the weights are read anew for each request",
            lambda s, contexts, bytes_per_value: sum(
                _decode(s, [each], bytes_per_value) for each in contexts
            ),
        ),
        Mistake(
            "every request has the context of the longest",
            lambda s, contexts, bytes_per_value: _decode(
                s, [max(contexts)] * len(contexts), bytes_per_value
            ),
        ),
        *_shared(_decode),
    ),
    decode_terms,
    (
        Question.of(PRIMES, contexts=[3, 17], bytes_per_value=2),
        Question.of(replace(PRIMES, tied=True), contexts=[5], bytes_per_value=4),
    ),
)
FLOOR = Formula(
    "floor_seconds",
    floor_seconds,
    mistakes=(
        Mistake(
            "the two times are added up", lambda o, b, peak, bandwidth: o / peak + b / bandwidth
        ),
        Mistake(
            "the shorter of the two times counts",
            lambda o, b, peak, bandwidth: min(o / peak, b / bandwidth),
        ),
        Mistake("memory is left out", lambda o, b, peak, bandwidth: o / peak),
        Mistake("arithmetic is left out", lambda o, b, peak, bandwidth: b / bandwidth),
        Mistake(
            "peak and bandwidth are exchanged",
            lambda o, b, peak, bandwidth: max(o / bandwidth, b / peak),
        ),
    ),
    probes=(
        Question.of(700, 30, peak=7.0, bandwidth=2.0),
        Question.of(70, 90, peak=7.0, bandwidth=2.0),
    ),
)


def _off(by: int) -> Callable[..., int | None]:
    def formula(*args: object, **keywords: object) -> int | None:
        due = Question(args, keywords).put(break_even_batch)
        return None if due is None else due + by

    return formula


BREAK_EVEN = Formula(
    "break_even_batch",
    break_even_batch,
    "requests",
    (
        Mistake("the largest batch that is still bound by memory is named", _off(-1)),
        Mistake(
            "arithmetic has to take longer, and not just as long",
            partial(break_even_batch, longer=True),
        ),
    ),
    None,
    (
        Question.of(PRIMES, context=9, bytes_per_value=2, peak=1000.0, bandwidth=300.0),
        Question.of(PRIMES, context=2, bytes_per_value=2, peak=900.0, bandwidth=100.0),
    ),
    optional=True,
)
