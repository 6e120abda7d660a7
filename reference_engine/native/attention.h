// Attention of some rows over a paged KV pool, for one head of keys and the query heads that share it.
//
// A block holds keys transposed, [D, block size], so that a vector of scores needs no sum across its lanes, and values
// as [block size, D]. Nothing is gathered: blocks are read where they lie.
#pragma once

#include <algorithm>
#include "scratch.h"
#include "simd.h"

struct Pages {
    const int32_t* table;    // blocks of the request
    const float* keys;       // of this head in block 0
    const float* values;
    int64_t stride;          // floats from a block to the next
    int64_t block_size, depth;

    const float* keys_of(int64_t block) const { return keys + table[block] * stride; }
    const float* value_of(int64_t token) const {
        return values + table[token / block_size] * stride + token % block_size * depth;
    }
};

constexpr int TILE = 12;  // rows of queries that pass over the pages together

// Queries [R, D] x keys [D, N * block size] -> scores [R, N * block size] of N whole blocks. The memory's latency
// is what costs: the keys of the blocks after these are called for meanwhile, and the values of these, which lie behind
// their keys.
template <int R, int N>
void score_blocks(const Pages& pages, const float* query, int64_t block, int64_t last, float* scores, int64_t stride) {
    for (int64_t at = 0; at < pages.block_size; at += W) {
        Vec sums[R][N] = {};
        const float *keys[N], *coming[N];
        for (int n = 0; n < N; n++) {
            keys[n] = pages.keys_of(block + n) + at;
            coming[n] = pages.keys_of(std::min(block + n + N, last)) + at;
        }
        for (int64_t d = 0; d < pages.depth; d++) {
#pragma GCC unroll 8
            for (int n = 0; n < N; n++) {
                __builtin_prefetch(coming[n] + d * pages.block_size, 0, 2);
                __builtin_prefetch(keys[n] + (pages.depth + d) * pages.block_size, 0, 2);
                const Vec key = opaque(load(keys[n] + d * pages.block_size));
#pragma GCC unroll 12
                for (int r = 0; r < R; r++) sums[r][n] += query[r * pages.depth + d] * key;
            }
        }
        for (int r = 0; r < R; r++)
            for (int n = 0; n < N; n++) store(scores + r * stride + (block + n) * pages.block_size + at, sums[r][n]);
    }
}

// Queries [rows, D] x keys [D, block size] -> scores [rows, block size], for sizes that are no multiple of a vector.
inline void score_plainly(const Pages& pages, int rows, const float* query, int64_t block, float* scores, int64_t stride) {
    const float* keys = pages.keys_of(block);
    for (int r = 0; r < rows; r++) {
        float* to = scores + r * stride + block * pages.block_size;
        std::fill(to, to + pages.block_size, 0.0f);
        for (int64_t d = 0; d < pages.depth; d++)
            for (int64_t t = 0; t < pages.block_size; t++)
                to[t] = __builtin_fmaf(query[r * pages.depth + d], keys[d * pages.block_size + t], to[t]);
    }
}

// Queries [R, D] x keys of `tokens` tokens -> scores [R, stride], whole blocks of them.
template <int R>
void score(const Pages& pages, const float* query, int64_t tokens, float* scores, int64_t stride) {
    const int64_t blocks = (tokens + pages.block_size - 1) / pages.block_size;
    int64_t block = 0;
    if (pages.block_size % W == 0) {
        constexpr int N = TILE / R > 4 ? 4 : TILE / R;
        for (; block + N <= blocks; block += N) score_blocks<R, N>(pages, query, block, blocks - 1, scores, stride);
        for (; block < blocks; block++) score_blocks<R, 1>(pages, query, block, blocks - 1, scores, stride);
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
template <int R>
void weighted_sum(
    const Pages& pages, int64_t tokens, const float* weights, int64_t stride, const float* shares, float* const* out
) {
    int64_t d = 0;
    for (; d + 2 * W <= pages.depth; d += 2 * W) {
        Vec low[R] = {}, high[R] = {};
        for (int64_t start = 0; start < tokens; start += pages.block_size) {
            const float* value = pages.value_of(start) + d;
            const int64_t end = std::min(pages.block_size, tokens - start);
            for (int64_t t = 0; t < end; t++) {
                const Vec left = opaque(load(value + t * pages.depth));
                const Vec right = opaque(load(value + t * pages.depth + W));
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
            for (int64_t t = 0; t < tokens; t++) total = __builtin_fmaf(weights[r * stride + t], pages.value_of(t)[d], total);
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
template <int R>
void attend_tile(const Pages& pages, const float* query, const RowMask* masks, float* const* out, Scratch& scratch) {
    int64_t tokens = 0;
    for (int r = 0; r < R; r++) tokens = std::max(tokens, masks[r].seen);
    const int64_t blocks = (tokens + pages.block_size - 1) / pages.block_size;
    const int64_t stride = (blocks * pages.block_size + W) / W * W;  // whole vectors, whatever the block size
    float* const weights = scratch.get(stride * R);  // [R, stride]: scores, then their exponentials
    float shares[R];
    score<R>(pages, query, tokens, weights, stride);
    for (int r = 0; r < R; r++) {
        float* scores = weights + r * stride;
        const RowMask& visible = masks[r];
        if (visible.mask)
            for (int64_t t = visible.root; t < visible.seen; t++)
                if (!visible.mask[t - visible.root]) scores[t] = -__builtin_inff();
        shares[r] = softmax(scores, visible.seen, stride);
    }
    weighted_sum<R>(pages, tokens, weights, stride, shares, out);
}

template <int R = TILE>
void attend_rest(
    int64_t rows, const Pages& pages, const float* query, const RowMask* masks, float* const* out, Scratch& scratch
) {
    if constexpr (R > 0) {
        if (rows == R) return attend_tile<R>(pages, query, masks, out, scratch);
        attend_rest<R - 1>(rows, pages, query, masks, out, scratch);
    }
}

inline void attend(
    int64_t rows, const Pages& pages, const float* query, const RowMask* masks, float* const* out, Scratch& scratch
) {
    for (int64_t row = 0; row < rows; row += TILE) {
        const int64_t count = std::min<int64_t>(TILE, rows - row);
        attend_rest(count, pages, query + row * pages.depth, masks + row, out + row, scratch);
    }
}
