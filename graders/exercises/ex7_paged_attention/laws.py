"""The laws of exercise 7, in reading order. What they need is imported inside: this module is read
by `course list`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graders.registry.law import LawBook

if TYPE_CHECKING:
    from graders.checking.check_context import CheckContext

LAWS = LawBook(exercise=7)


@LAWS.law(
    "one block",
    statement=(
        "One request in one block: out is the softmax of scale * q . k over its positions, times v."
    ),
    points=15,
    hints=(
        "Look at one query, one key, one value: whatever the score, out is the value. Then at two.",
        "Load q once, keys and values of all positions with a mask, scores by sum(q * k) over D. "
        "What is masked has score -inf, so that its weight is 0; D is padded to a power of two.",
        "score = where(own, sum(q[None, :] * k, 1) * scale, -inf); w = exp(score - max(score)); "
        "out = sum(w[:, None] * v, 0) / sum(w).",
    ),
)
def one_block(context: CheckContext) -> None:
    from graders.checking.random_cases import explore
    from graders.exercises.ex7_paged_attention import fixed_cases, random_cases

    explore(context, random_cases.alone, cases=5, moves=0, first=fixed_cases.widths)


@LAWS.law(
    "through the table",
    statement=(
        "Position p lies in block tables[b, p // block_size], slot p % block_size, whatever the block size;"
        " offsets of blocks are int64."
    ),
    points=15,
    needs=("one block",),
    hints=(
        "Look at the second block of a request, and at the offsets of slot, KV head and column.",
        "Offsets are in elements: ((block * block_size + slot) * Hkv + kv_head) * D + column. A "
        "row of the tables is T entries long; a block is int64 before it is multiplied. Between tiles peak, total and "
        "acc are carried on.",
        "block = load(tables + b * T + p // block_size, mask=own, other=0); when a tile brings a "
        "new peak: shrink = exp(peak - higher); total = total * shrink + sum(w); acc = acc * "
        "shrink + w . v.",
    ),
)
def through_the_table(context: CheckContext) -> None:
    from graders.checking.random_cases import explore
    from graders.exercises.ex7_paged_attention import fixed_cases, random_cases

    explore(context, random_cases.paged, cases=8, moves=0, first=fixed_cases.pages)


@LAWS.law(
    "grouped heads",
    statement=(
        "Query head h reads KV head h // (Hq // Hkv): heads of a group are neighbours and share keys and values."
    ),
    points=10,
    needs=("through the table",),
    hints=(
        "Look at which KV head query head 1 of 4 reads when there are two.",
        "With Hq = 4 and Hkv = 2 heads 0 and 1 read KV head 0, heads 2 and 3 read KV head 1. A "
        "group of three is padded to four rows, and the fourth is masked.",
        "head = kv_head * GROUP + arange(0, BLOCK_GROUP); mask: arange < GROUP; q + (b * Hq + "
        "head)[:, None] * D + column[None, :].",
    ),
)
def grouped_heads(context: CheckContext) -> None:
    from graders.checking.random_cases import explore
    from graders.exercises.ex7_paged_attention import fixed_cases, random_cases

    explore(context, random_cases.grouped, cases=4, moves=0, first=fixed_cases.groups)


@LAWS.law(
    "ragged lengths",
    statement=(
        "Every request has its own length; 0 gives a row of zeros, B = 0 an empty tensor; nothing beyond matters."
    ),
    points=10,
    needs=("through the table",),
    hints=(
        "Look at a request of length 0 between two others, and at entries of the tables beyond a length.",
        "A loop that is not entered leaves total at 0: divide by 1 then. An entry beyond the "
        "length may be any number: mask the load of the table, or what is loaded through it.",
        "last = load(lengths + b); own = p < last in every load; out = acc / where(total > 0, "
        "total, 1); if B == 0: return empty_like(q).",
    ),
)
def ragged_lengths(context: CheckContext) -> None:
    from graders.checking.random_cases import explore
    from graders.exercises.ex7_paged_attention import fixed_cases, random_cases

    explore(context, random_cases.ragged, cases=5, moves=3, first=fixed_cases.emptiest)


@LAWS.law(
    "own blocks alone",
    statement=(
        "For a request no key and no value is read but from the blocks that its length covers."
    ),
    points=15,
    needs=("ragged lengths",),
    hints=(
        "The result is right. Look at what is loaded although it gets no weight.",
        "A tile may reach beyond the length; a weight of 0 hides what was read there, until it is "
        "NaN, or another program is writing it. The message names request, position and block.",
        "mask = (p < length)[:, None] & (column < D)[None, :] in the loads of k and of v, not in the score alone.",
    ),
)
def own_blocks_alone(context: CheckContext) -> None:
    from graders.checking.random_cases import explore
    from graders.exercises.ex7_paged_attention import fixed_cases, random_cases

    explore(context, random_cases.own_blocks, cases=5, moves=2, first=fixed_cases.neighbours)


@LAWS.law(
    "read once",
    statement=(
        "Each key and each value is read once for its group of query heads, by a kernel; no copy is made of them."
    ),
    points=15,
    needs=("grouped heads", "ragged lengths"),
    hints=(
        "The message counts: as often as there are query heads in a group, twice, or never.",
        "Reading is what this step costs. One program for each query head reads the same keys as "
        "often as the group is large; a gather in torch reads them before your kernel does, and "
        "writes them.",
        "grid (B, Hkv, split); load q as [GROUP, D], a tile of keys as [TILE, D], once, and score "
        "all heads of the group against it.",
    ),
)
def read_once(context: CheckContext) -> None:
    from graders.checking.random_cases import explore
    from graders.exercises.ex7_paged_attention import fixed_cases, random_cases

    explore(context, random_cases.counted, cases=5, moves=2, first=fixed_cases.each_once)


@LAWS.law(
    "parts combined",
    statement=(
        "Any split gives the same result, more parts than positions too; no program reads more than its part."
    ),
    points=10,
    needs=("ragged lengths",),
    hints=(
        "Look at a part that is empty, and at parts whose peaks differ.",
        "Each part leaves peak, total and acc, not acc / total: averages of averages are wrong. An"
        " empty part has peak -inf and must add nothing; -inf - -inf is NaN.",
        "highest = max(peaks); f = where(peak > -inf, exp(peak - highest), 0); out = sum(f * acc) / sum(f * total).",
    ),
)
def parts_combined(context: CheckContext) -> None:
    from graders.checking.random_cases import explore
    from graders.exercises.ex7_paged_attention import fixed_cases, random_cases

    explore(context, random_cases.parts, cases=5, moves=2, first=fixed_cases.many_parts)


@LAWS.law(
    "steady softmax",
    statement=(
        "Scores of ten thousand, of either sign, overflow nowhere; bf16 is summed in float32."
    ),
    points=10,
    needs=("through the table",),
    hints=(
        "Look at exp of a large score, and at where the peak starts.",
        "Subtract the largest score so far before exp, and start it at -inf: a start of 0 is above"
        " scores of -10000, and then every weight is 0. Convert bf16 to float32 before you sum.",
        "peak = full(-inf); higher = maximum(peak, max(score)); w = exp(score - higher); "
        "k.to(float32), v.to(float32); the store converts back.",
    ),
)
def steady_softmax(context: CheckContext) -> None:
    from graders.checking.random_cases import explore
    from graders.exercises.ex7_paged_attention import fixed_cases, random_cases

    explore(context, random_cases.steep, cases=5, moves=0, first=fixed_cases.steepest)
