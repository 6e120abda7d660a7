// GEMM of a few rows with a weight that was packed once: panels of 2 W columns, all of K for a panel side by side.
//
// Every sum runs over k in order, in one accumulator, whatever the tile: a row's result does not depend on what rows
// are computed beside it.
#pragma once

#include <algorithm>

#include "simd.h"

constexpr int COLUMNS = 2 * W;  // of a panel
constexpr int64_t AHEAD = 64;   // numbers of k to prefetch ahead: what few rows need comes too late when it is used

struct Weight {
    const float* panels;  // [ceil(out / COLUMNS), in, COLUMNS], zeros beyond `out`
    int64_t in, out;
    int64_t count() const { return (out + COLUMNS - 1) / COLUMNS; }
};

// Epilogue: what is done to the sums of a GEMM before they are stored.
enum class Epilogue {
    write,   // c = scale[row] * sum
    add,     // c += sum
    gated,   // c = silu(scale[row] * first half of the panel) * (scale[row] * second half): W columns a panel
};

struct Gemm {
    const float* a;  // [rows, stride of a]
    int64_t a_stride;
    Weight weight;
    float* c;
    int64_t c_stride;
    const float* scale;  // [rows] or null
    Epilogue epilogue;
};

// Epilogue of one row with one panel: sums [2 W] -> c[row, panel * 2 W ..]; gated: [W] -> c[row, panel * W ..].
inline void finish(const Gemm& p, int64_t row, int64_t panel, Vec low, Vec high) {
    const bool gated = p.epilogue == Epilogue::gated;
    const int64_t wide = gated ? W : COLUMNS, begin = panel * wide;
    const int64_t columns = std::min(wide, (gated ? p.weight.out / 2 : p.weight.out) - begin);
    float* to = p.c + row * p.c_stride + begin;
    if (p.scale) {
        low *= p.scale[row];
        high *= p.scale[row];
    }
    if (gated) low = silu(low) * high;
    if (columns == wide) {
        store(to, p.epilogue == Epilogue::add ? load(to) + low : low);
        if (!gated) store(to + W, p.epilogue == Epilogue::add ? load(to + W) + high : high);
        return;
    }
    for (int64_t i = 0; i < columns; i++) {
        const float value = i < W ? low[i] : high[i - W];
        to[i] = p.epilogue == Epilogue::add ? to[i] + value : value;
    }
}

// a [R, in] x panels [P, in, 2 W] -> sums [R, P * 2 W] in registers -> epilogue.
template <int R, int P>
void tile(const Gemm& p, int64_t row, int64_t panel) {
    Vec low[R][P], high[R][P];
#pragma GCC unroll 16
    for (int r = 0; r < R; r++)
#pragma GCC unroll 8
        for (int j = 0; j < P; j++) low[r][j] = high[r][j] = Vec{};
    const int64_t in = p.weight.in;
    const float* a = p.a + row * p.a_stride;
    const float* b = p.weight.panels + panel * in * COLUMNS;
    for (int64_t k = 0; k < in; k++) {
#pragma GCC unroll 8
        for (int j = 0; j < P; j++) {
            const float* at = b + (j * in + k) * COLUMNS;
            if constexpr (P == 1) {
                __builtin_prefetch(at + AHEAD * COLUMNS, 0, 2);
                __builtin_prefetch(at + AHEAD * COLUMNS + W, 0, 2);
            }
            const Vec left = opaque(load(at)), right = opaque(load(at + W));
#pragma GCC unroll 16
            for (int r = 0; r < R; r++) {
                const float value = a[r * p.a_stride + k];
                low[r][j] += value * left;
                high[r][j] += value * right;
            }
        }
    }
    Vec sums[R][P][2];  // in memory from here on
#pragma GCC unroll 16
    for (int r = 0; r < R; r++)
#pragma GCC unroll 8
        for (int j = 0; j < P; j++) sums[r][j][0] = low[r][j], sums[r][j][1] = high[r][j];
    for (int j = 0; j < P; j++)
        for (int r = 0; r < R; r++) finish(p, row + r, panel + j, sums[r][j][0], sums[r][j][1]);
}

// How many panels a tile of R rows takes: enough sums at once to keep the multipliers busy, and no more.
constexpr int panels_beside(int rows) { return rows == 1 ? 4 : 2 * rows <= MAX_ROWS ? 2 : 1; }

// a [R, in] x panels [from, to) -> c [R, (to - from) * 2 W], P panels at a time.
template <int R>
void strip(const Gemm& p, int64_t row, int64_t from, int64_t to) {
    constexpr int P = panels_beside(R);
    int64_t panel = from;
    for (; panel + P <= to; panel += P) tile<R, P>(p, row, panel);
    if constexpr (P > 1)
        for (; panel < to; panel++) tile<R, 1>(p, row, panel);
}

// The same for a number of rows known only now, 1 .. MAX_ROWS.
template <int R = MAX_ROWS>
void rest(const Gemm& p, int64_t rows, int64_t row, int64_t from, int64_t to) {
    if constexpr (R > 0) {
        if (rows == R) return strip<R>(p, row, from, to);
        rest<R - 1>(p, rows, row, from, to);
    }
}

// a [last - first, in] x panels [from, to) -> c rows [first, last). Few rows: panels stream by.
// Many: a panel stays while rows pass, in tiles of nearly equal height.
inline void multiply(const Gemm& p, int64_t first, int64_t last, int64_t from, int64_t to) {
    const int64_t rows = last - first, tiles = (rows + MAX_ROWS - 1) / MAX_ROWS;
    if (tiles == 1) return rest(p, rows, first, from, to);
    for (int64_t panel = from; panel < to; panel++)
        for (int64_t i = 0; i < tiles; i++) {
            const int64_t start = i * rows / tiles, end = (i + 1) * rows / tiles;
            rest(p, end - start, first + start, panel, panel + 1);
        }
}
