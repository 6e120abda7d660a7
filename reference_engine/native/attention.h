// Attention of some rows over a paged KV pool, for one head of keys and the query heads that share it.
//
// A block holds keys transposed, [D, block size], so that a vector of scores needs no sum across its lanes, and values
// as [block size, D]. Nothing is gathered: blocks are read where they lie.
//
// Numbers are fp32, or bf16 that are computed with as the fp32 whose upper halves they are. Of bf16 two share a word, so
// that a shift and a mask make two vectors of one load: of a key its dimensions d and d + 1, of a value those W apart.
#pragma once

#include <algorithm>
#include "scratch.h"
#include "simd.h"

// How KV lies in a block. BESIDE: dimensions of a key side by side. key_at, value_at: where dimension d of a key lies in
// [D, block size], and of a value in [D].
struct WholeKV {
    using Number = float;
    static constexpr int64_t BESIDE = 1;
    static int64_t key_at(int64_t d, int64_t token, int64_t block_size) { return d * block_size + token; }
    static int64_t value_at(int64_t d, int64_t) { return d; }
    static float stored(float number) { return number; }
    static float number(float stored) { return stored; }
    static Vec keys(const float* at, int64_t) { return opaque(load(at)); }
    static void values(const float* at, Vec& left, Vec& right) { left = opaque(load(at)), right = opaque(load(at + W)); }
};

struct HalfKV {
    using Number = uint16_t;
    static constexpr int64_t BESIDE = 2;
    static int64_t key_at(int64_t d, int64_t token, int64_t block_size) {
        return d / 2 * 2 * block_size + 2 * token + d % 2;
    }
    static int64_t value_at(int64_t d, int64_t depth) {
        const int64_t within = d % (2 * W), start = d - within;
        if (start + 2 * W > depth) return d;  // no whole vectors are left
        return start + within % W * 2 + within / W;
    }
    static uint16_t stored(float number) { return static_cast<uint16_t>(nearest_bf16(number)); }
    static float number(uint16_t stored) {
        const uint32_t bits = static_cast<uint32_t>(stored) << 16;
        float number;
        std::memcpy(&number, &bits, sizeof number);
        return number;
    }
    static Vec keys(const uint16_t* at, int64_t which) {
        const WordVec both = words(at);
        return opaque(as_floats(which == 0 ? both << 16 : both & 0xffff0000u));
    }
    static void values(const uint16_t* at, Vec& left, Vec& right) {
        const WordVec both = words(at);
        left = opaque(as_floats(both << 16)), right = opaque(as_floats(both & 0xffff0000u));
    }

  private:
    static WordVec words(const uint16_t* at) { return *reinterpret_cast<const WordVec*>(at); }
};

template <class KV>
struct Pages {
    using Number = typename KV::Number;
    const int32_t* table;    // blocks of the request
    const Number* keys;      // of this head in block 0
    const Number* values;
    int64_t stride;          // numbers from a block to the next
    int64_t block_size, depth;

    const Number* keys_of(int64_t block) const { return keys + table[block] * stride; }
    const Number* value_of(int64_t token) const {
        return values + table[token / block_size] * stride + token % block_size * depth;
    }
};

constexpr int TILE = 12;  // rows of queries that pass over the pages together

// Queries [R, D] x keys [D, N * block size] -> scores [R, N * block size] of N whole blocks. The memory's latency
// is what costs: the keys of the blocks after these are called for meanwhile, and the values of these, which lie behind
// their keys.
template <class KV, int R, int N>
void score_blocks(
    const Pages<KV>& pages, const float* query, int64_t block, int64_t last, float* scores, int64_t stride
) {
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
                for (int64_t which = 0; which < KV::BESIDE; which++) {
                    const Vec key = KV::keys(keys[n] + d * pages.block_size, which);
#pragma GCC unroll 12
                    for (int r = 0; r < R; r++) sums[r][n] += query[r * pages.depth + d + which] * key;
                }
            }
        }
        for (int r = 0; r < R; r++)
            for (int n = 0; n < N; n++) store(scores + r * stride + (block + n) * pages.block_size + at, sums[r][n]);
    }
}

// Queries [rows, D] x keys [D, block size] -> scores [rows, block size], for sizes that are no multiple of a vector.
template <class KV>
void score_plainly(const Pages<KV>& pages, int rows, const float* query, int64_t block, float* scores, int64_t stride) {
    const auto* keys = pages.keys_of(block);
    for (int r = 0; r < rows; r++) {
        float* to = scores + r * stride + block * pages.block_size;
        std::fill(to, to + pages.block_size, 0.0f);
        for (int64_t d = 0; d < pages.depth; d++)
            for (int64_t t = 0; t < pages.block_size; t++)
                to[t] = __builtin_fmaf(
                    query[r * pages.depth + d], KV::number(keys[KV::key_at(d, t, pages.block_size)]), to[t]
                );
    }
}

// Queries [R, D] x keys of `tokens` tokens -> scores [R, stride], whole blocks of them.
template <class KV, int R>
void score(const Pages<KV>& pages, const float* query, int64_t tokens, float* scores, int64_t stride) {
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

// Weighted sum P x V: weights [R, tokens] x values [tokens, D], times shares [R] -> rows out[0 .. R), each [D].
template <class KV, int R>
void weighted_sum(
    const Pages<KV>& pages, int64_t tokens, const float* weights, int64_t stride, const float* shares, float* const* out
) {
    int64_t d = 0;
    for (; d + 2 * W <= pages.depth; d += 2 * W) {
        Vec low[R] = {}, high[R] = {};
        for (int64_t start = 0; start < tokens; start += pages.block_size) {
            const auto* value = pages.value_of(start) + d;
            const int64_t end = std::min(pages.block_size, tokens - start);
            for (int64_t t = 0; t < end; t++) {
                Vec left, right;
                KV::values(value + t * pages.depth, left, right);
#pragma GCC unroll 12
                for (int r = 0; r < R; r++) {
                    const float weight = weights[r * stride + start + t];
                    low[r] += weight * left;
                    high[r] += weight * right;
                }
            }
        }
        for (int r = 0; r < R; r++) {
            store(out[r] + d, low[r] * shares[r]);
            store(out[r] + d + W, high[r] * shares[r]);
        }
    }
    for (; d < pages.depth; d++) {
        for (int r = 0; r < R; r++) {
            float total = 0;
            for (int64_t t = 0; t < tokens; t++) {
                const float value = KV::number(pages.value_of(t)[KV::value_at(d, pages.depth)]);
                total = __builtin_fmaf(weights[r * stride + t], value, total);
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
    const Pages<KV>& pages, const float* query, const RowMask* masks, float* const* out, Scratch& scratch
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
    }
    weighted_sum<KV, R>(pages, tokens, weights, stride, shares, out);
}

template <class KV, int R = TILE>
void attend_rest(
    int64_t rows, const Pages<KV>& pages, const float* query, const RowMask* masks, float* const* out, Scratch& scratch
) {
    if constexpr (R > 0) {
        if (rows == R) return attend_tile<KV, R>(pages, query, masks, out, scratch);
        attend_rest<KV, R - 1>(rows, pages, query, masks, out, scratch);
    }
}

template <class KV>
void attend(
    int64_t rows, const Pages<KV>& pages, const float* query, const RowMask* masks, float* const* out, Scratch& scratch
) {
    for (int64_t row = 0; row < rows; row += TILE) {
        const int64_t count = std::min<int64_t>(TILE, rows - row);
        attend_rest<KV>(count, pages, query + row * pages.depth, masks + row, out + row, scratch);
    }
}
