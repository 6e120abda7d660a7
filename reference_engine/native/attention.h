// Attention of some rows over a paged KV pool, for one head of keys and the query heads that share it.
//
// A block holds keys transposed, [D, block size], so that a vector of scores needs no sum across its lanes, and values
// as [block size, D]. Nothing is gathered: blocks are read where they lie.
//
// Numbers are fp32, or bf16 that are computed with as the fp32 whose upper halves they are. Of bf16 two share a word, so
// that a shift and a mask make two vectors of one load: of a key its dimensions d and d + 1, of values those of tokens t
// and t + 1. Where the processor has dot products of bf16, queries and weights that were rounded to pairs can be
// multiplied with such words as they are: asked for, never by itself.
//
// Every sum runs over dimensions or tokens in order, in one accumulator, whatever the tile: what a row reads does not
// depend on what rows are computed beside it.
#pragma once

#include <algorithm>
#include "scratch.h"
#include "simd.h"

// How KV lies in a block, and what it is multiplied with. key_at, value_at: where dimension d of a token lies among the
// block's keys [D, block size] and values [block size, D].
//
// BESIDE: dimensions of a key side by side; GIVEN: numbers of a query for them. TOGETHER: tokens whose values lie side by
// side; the weights of a row are [tokens], or [tokens / 2] pairs.
struct WholeKV {
    using Number = float;
    using Given = float;
    static constexpr int64_t BESIDE = 1, GIVEN = 1, TOGETHER = 1;
    static constexpr bool ROUNDS = false;
    static int64_t key_at(int64_t d, int64_t token, int64_t block_size) { return d * block_size + token; }
    static int64_t value_at(int64_t d, int64_t token, int64_t, int64_t depth) { return token * depth + d; }
    static float stored(float number) { return number; }
    static float number(float stored) { return stored; }
    static Vec keys(const float* at, int64_t) { return opaque(load(at)); }
    static void add(Vec& sum, float query, Vec key) { sum += query * key; }
    // Of the tokens that lie together W values each, from `at` on, as what a row's weights are multiplied with.
    struct Values {
        Vec of;
        Values(const float* at, bool) : of(opaque(load(at))) {}
    };
    static void add(Vec& sum, const float* weights, const Values& values) { sum += weights[0] * values.of; }
};

struct HalfKV {
    using Number = uint16_t;
    using Given = float;
    static constexpr int64_t BESIDE = 2, GIVEN = 2, TOGETHER = 2;
    static constexpr bool ROUNDS = false;
    static int64_t key_at(int64_t d, int64_t token, int64_t block_size) {
        return d / 2 * 2 * block_size + 2 * token + d % 2;
    }
    static int64_t value_at(int64_t d, int64_t token, int64_t block_size, int64_t depth) {
        if (block_size % TOGETHER) return token * depth + d;  // not every token has a neighbour
        return token / 2 * 2 * depth + 2 * d + token % 2;
    }
    static uint16_t stored(float number) { return static_cast<uint16_t>(nearest_bf16(number)); }
    static float number(uint16_t stored) {
        const uint32_t bits = static_cast<uint32_t>(stored) << 16;
        float number;
        std::memcpy(&number, &bits, sizeof number);
        return number;
    }
    static WordVec words(const uint16_t* at) { return *reinterpret_cast<const WordVec*>(at); }
    static Vec keys(const uint16_t* at, int64_t which) {
        const WordVec both = words(at);
        return opaque(as_floats(which == 0 ? both << 16 : both & 0xffff0000u));
    }
    static void add(Vec& sum, float query, Vec key) { sum += query * key; }
    struct Values {
        Vec even, odd;  // odd: zeros where that token is not there
        Values(const uint16_t* at, bool both)
            : even(opaque(as_floats(words(at) << 16))),
              odd(both ? opaque(as_floats(words(at) & 0xffff0000u)) : Vec{}) {}
    };
    static void add(Vec& sum, const float* weights, const Values& values) {
        sum += weights[0] * values.even;
        sum += weights[1] * values.odd;
    }
};

// HalfKV, multiplied with queries and weights that are pairs of bf16 themselves.
struct PairedKV : HalfKV {
    using Given = uint32_t;
    static constexpr int64_t GIVEN = 1;
    static constexpr bool ROUNDS = true;
    static WordVec keys(const uint16_t* at, int64_t) { return words(at); }
    static void add(Vec& sum, uint32_t query, WordVec key) { sum = add_dot_products(sum, query - WordVec{}, key); }
    struct Values {
        WordVec of;
        Values(const uint16_t* at, bool both) : of(both ? words(at) : words(at) & 0xffffu) {}
    };
    static void add(Vec& sum, const uint32_t* weights, const Values& values) {
        sum = add_dot_products(sum, weights[0] - WordVec{}, values.of);
    }
};

template <class KV>
struct Pages {
    using Number = typename KV::Number;
    using Given = typename KV::Given;
    const int32_t* table;    // blocks of the request
    const Number* keys;      // of this head in block 0
    const Number* values;
    int64_t stride;          // numbers from a block to the next
    int64_t block_size, depth;

    const Number* keys_of(int64_t block) const { return keys + table[block] * stride; }
    const Number* values_of(int64_t block) const { return values + table[block] * stride; }
    int64_t row() const { return depth / KV::BESIDE * KV::GIVEN; }  // numbers of a query
};

constexpr int TILE = 12;  // rows of queries that pass over the pages together

// Queries [R, D] x keys [D, N * block size] -> scores [R, N * block size] of N whole blocks. The memory's latency
// is what costs: the keys of the blocks after these are called for meanwhile, and the values of these, which lie behind
// their keys.
template <class KV, int R, int N>
void score_blocks(
    const Pages<KV>& pages, const typename KV::Given* query, int64_t block, int64_t last, float* scores, int64_t stride
) {
    const int64_t row = pages.row();
    for (int64_t at = 0; at < pages.block_size; at += W) {
        Vec sums[R][N] = {};
        const typename KV::Number *keys[N], *coming[N];
        for (int n = 0; n < N; n++) {
            keys[n] = pages.keys_of(block + n) + KV::BESIDE * at;
            coming[n] = pages.keys_of(std::min(block + n + N, last)) + KV::BESIDE * at;
        }
        for (int64_t d = 0; d < pages.depth; d += KV::BESIDE) {
#pragma GCC unroll 8
            for (int n = 0; n < N; n++) {
                __builtin_prefetch(coming[n] + d * pages.block_size, 0, 2);
                __builtin_prefetch(keys[n] + (pages.depth + d) * pages.block_size, 0, 2);
#pragma GCC unroll 2
                for (int64_t which = 0; which < KV::GIVEN; which++) {
                    const auto key = KV::keys(keys[n] + d * pages.block_size, which);
                    const auto* given = query + d / KV::BESIDE * KV::GIVEN + which;
#pragma GCC unroll 12
                    for (int r = 0; r < R; r++) KV::add(sums[r][n], given[r * row], key);
                }
            }
        }
        for (int r = 0; r < R; r++)
            for (int n = 0; n < N; n++) store(scores + r * stride + (block + n) * pages.block_size + at, sums[r][n]);
    }
}

// Number i of a row that is fp32, or pairs of bf16.
inline float given_number(const float* row, int64_t i) { return row[i]; }
inline float given_number(const uint32_t* row, int64_t i) {
    return HalfKV::number(static_cast<uint16_t>(row[i / 2] >> 16 * (i % 2)));
}

// Queries [rows, D] x keys [D, block size] -> scores [rows, block size], for sizes that are no multiple of a vector.
template <class KV>
void score_plainly(
    const Pages<KV>& pages, int rows, const typename KV::Given* query, int64_t block, float* scores, int64_t stride
) {
    const auto* keys = pages.keys_of(block);
    for (int r = 0; r < rows; r++) {
        float* to = scores + r * stride + block * pages.block_size;
        std::fill(to, to + pages.block_size, 0.0f);
        for (int64_t d = 0; d < pages.depth; d++)
            for (int64_t t = 0; t < pages.block_size; t++)
                to[t] = __builtin_fmaf(
                    given_number(query + r * pages.row(), d), KV::number(keys[KV::key_at(d, t, pages.block_size)]), to[t]
                );
    }
}

// Queries [R, D] x keys of `tokens` tokens -> scores [R, stride], whole blocks of them.
template <class KV, int R>
void score(const Pages<KV>& pages, const typename KV::Given* query, int64_t tokens, float* scores, int64_t stride) {
    const int64_t blocks = (tokens + pages.block_size - 1) / pages.block_size;
    int64_t block = 0;
    if (pages.block_size % W == 0) {
        constexpr int N = TILE / R > 4 ? 4 : TILE / R;
        for (; block + N <= blocks; block += N) score_blocks<KV, R, N>(pages, query, block, blocks - 1, scores, stride);
        for (; block < blocks; block++) score_blocks<KV, R, 1>(pages, query, block, blocks - 1, scores, stride);
    } else {
        for (; block < blocks; block++) score_plainly(pages, R, query, block, scores, stride);
    }
}

// Softmax of one row, not yet divided: scores [0, seen) become e^(score - max), [seen, end) become 0; returns 1 / sum.
inline float softmax(float* scores, int64_t seen, int64_t end) {
    std::fill(scores + seen, scores + end, -__builtin_inff());
    Vec top = load(scores);
    for (int64_t t = W; t < end; t += W) top = max(top, load(scores + t));
    const Vec highest_score = broadcast(horizontal_max(top));
    Vec total{};
    for (int64_t t = 0; t < end; t += W) {
        const Vec weight = exponential(load(scores + t) - highest_score);
        store(scores + t, weight);
        total += weight;
    }
    return 1.0f / sum(total);
}

// Weighted sum P x V: weights, a row of them `stride` numbers apart, x values [tokens, D], times shares [R] -> rows
// out[0 .. R), each [D].
template <class KV, int R>
void weighted_sum(
    const Pages<KV>& pages, int64_t tokens, const typename KV::Given* weights, int64_t stride, const float* shares,
    float* const* out
) {
    constexpr int64_t T = KV::TOGETHER, PER_TOKEN = KV::ROUNDS ? 2 : 1;  // tokens of a number of the weights
    const int64_t size = pages.block_size, depth = pages.depth, blocks = (tokens + size - 1) / size;
    int64_t d = 0;
    for (; size % T == 0 && d + 2 * W <= depth; d += 2 * W) {
        Vec low[R] = {}, high[R] = {};
        for (int64_t block = 0; block < blocks; block++) {
            const auto* values = pages.values_of(block) + T * d;
            const auto* given = weights + block * size / PER_TOKEN;
            const int64_t end = std::min(size, tokens - block * size);
            const auto add = [&](int64_t t, bool both) {
                const typename KV::Values left(values + t * depth, both), right(values + t * depth + T * W, both);
#pragma GCC unroll 12
                for (int r = 0; r < R; r++) {
                    KV::add(low[r], given + r * stride + t / PER_TOKEN, left);
                    KV::add(high[r], given + r * stride + t / PER_TOKEN, right);
                }
            };
            int64_t t = 0;
            for (; t + T <= end; t += T) add(t, true);
            if (t < end) add(t, false);
        }
        for (int r = 0; r < R; r++) {
            store(out[r] + d, low[r] * shares[r]);
            store(out[r] + d + W, high[r] * shares[r]);
        }
    }
    for (; d < depth; d++) {
        for (int r = 0; r < R; r++) {
            float total = 0;
            for (int64_t t = 0; t < tokens; t++) {
                const float value = KV::number(pages.values_of(t / size)[KV::value_at(d, t % size, size, depth)]);
                total = __builtin_fmaf(given_number(weights + r * stride, t), value, total);
            }
            out[r][d] = total * shares[r];
        }
    }
}

// Mask of one row: the first `seen` tokens; of those from `root` on only what its line of the mask shows.
struct RowMask {
    int64_t seen, root;
    const uint8_t* mask;  // null: everything
};

// R queries [R, D] (scaled) -> R rows of `out`.
template <class KV, int R>
void attend_tile(
    const Pages<KV>& pages, const typename KV::Given* query, const RowMask* masks, float* const* out, Scratch& scratch
) {
    int64_t tokens = 0;
    for (int r = 0; r < R; r++) tokens = std::max(tokens, masks[r].seen);
    const int64_t blocks = (tokens + pages.block_size - 1) / pages.block_size;
    const int64_t stride = (blocks * pages.block_size + W) / W * W;  // whole vectors, whatever the block size
    float* const weights = scratch.get(stride * R);  // [R, stride]: scores, then their exponentials
    float shares[R];
    score<KV, R>(pages, query, tokens, weights, stride);
    for (int r = 0; r < R; r++) {
        float* scores = weights + r * stride;
        const RowMask& visible = masks[r];
        if (visible.mask)
            for (int64_t t = visible.root; t < visible.seen; t++)
                if (!visible.mask[t - visible.root]) scores[t] = -__builtin_inff();
        shares[r] = softmax(scores, visible.seen, stride);
        if constexpr (KV::ROUNDS) round_to_pairs(scores, stride, reinterpret_cast<uint32_t*>(scores));
    }
    weighted_sum<KV, R>(pages, tokens, reinterpret_cast<const typename KV::Given*>(weights), stride, shares, out);
}

template <class KV, int R = TILE>
void attend_rest(
    int64_t rows, const Pages<KV>& pages, const typename KV::Given* query, const RowMask* masks, float* const* out,
    Scratch& scratch
) {
    if constexpr (R > 0) {
        if (rows == R) return attend_tile<KV, R>(pages, query, masks, out, scratch);
        attend_rest<KV, R - 1>(rows, pages, query, masks, out, scratch);
    }
}

template <class KV>
void attend(
    int64_t rows, const Pages<KV>& pages, const typename KV::Given* query, const RowMask* masks, float* const* out,
    Scratch& scratch
) {
    for (int64_t row = 0; row < rows; row += TILE) {
        const int64_t count = std::min<int64_t>(TILE, rows - row);
        attend_rest<KV>(count, pages, query + row * pages.row(), masks + row, out + row, scratch);
    }
}
