// GEMM of a few rows with a weight that was packed once: panels of 2 W columns, all of K for a panel side by side.
//
// A panel holds fp32, or bf16 of which each number is the upper half of the fp32 that it is multiplied as: two columns,
// W apart, share a word. Or int8 with a scale for every GROUP of k of a column (llama.cpp's Q8_0). Reading it costs a
// half or a quarter, and loses nothing that the weights had.
//
// Every sum runs over k in order, in one accumulator (of int8: in one a group, and over the groups in order), whatever
// the tile: a row's result does not depend on what rows are computed beside it.
#pragma once

#include <algorithm>

#include "simd.h"

constexpr int COLUMNS = 2 * W;  // of a panel
constexpr int64_t AHEAD = 64;   // numbers of k to prefetch ahead: what few rows need comes too late when it is used

constexpr int64_t GROUP = 32;   // of k that share a scale of int8

enum class Format : int64_t { fp32, bf16, int8 };

// [ceil(out / COLUMNS), in, COLUMNS], zeros beyond `out`; bf16: [.., W] words; int8: [.., in / GROUP] groups of 2 W
// scales in fp32 and [GROUP, 2 W] numbers.
struct Panels {
    const void* numbers;
    Format format;
};

struct Weight {
    Panels panels;
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

// What a panel holds, as fp32. SPAN: so many k lie together behind their scales, and have a sum of their own.
struct Full {
    using Word = float;
    static constexpr int64_t SPAN = INT64_MAX, HEAD = 0, BESIDE = COLUMNS;  // words before a span and of one k
    static constexpr int64_t words(int64_t in) { return in * COLUMNS; }
    static Vec left(const float* at) { return opaque(load(at)); }
    static Vec right(const float* at) { return opaque(load(at + W)); }
};

struct Half {
    using Word = uint32_t;
    static constexpr int64_t SPAN = INT64_MAX, HEAD = 0, BESIDE = W;
    static constexpr int64_t words(int64_t in) { return in * W; }
    static WordVec at(const uint32_t* at) { return *reinterpret_cast<const WordVec*>(at); }
    static Vec left(const uint32_t* from) { return opaque(as_floats(at(from) << 16)); }
    static Vec right(const uint32_t* from) { return opaque(as_floats(at(from) & 0xffff0000u)); }
};

struct Quarter {
    using Word = int8_t;
    static constexpr int64_t SPAN = GROUP, HEAD = 4 * COLUMNS, BESIDE = COLUMNS;
    static constexpr int64_t words(int64_t in) { return in / GROUP * (HEAD + GROUP * BESIDE); }
    static Vec left(const int8_t* at) { return opaque(widened(at)); }
    static Vec right(const int8_t* at) { return opaque(widened(at + W)); }
};

// The lines that so many words from `at` on lie in.
template <class Word>
void prefetch(const Word* at, int64_t words) {
    for (int64_t i = 0; i < words; i += 64 / static_cast<int64_t>(sizeof(Word))) __builtin_prefetch(at + i, 0, 2);
}

// a [R, in] x panels [P, in, 2 W] -> sums [R, P * 2 W] in registers -> epilogue.
template <int R, int P, class Stored>
void tile(const Gemm& p, int64_t row, int64_t panel) {
    constexpr bool scaled = Stored::HEAD > 0;
    const int64_t in = p.weight.in, words = Stored::words(in);
    const float* a = p.a + row * p.a_stride;
    const auto* b = static_cast<const typename Stored::Word*>(p.weight.panels.numbers) + panel * words;
    Vec sums[R][P][2]{};  // in memory
    for (int64_t start = 0; start < in; start += std::min(in, Stored::SPAN)) {
        Vec low[R][P], high[R][P];
#pragma GCC unroll 16
        for (int r = 0; r < R; r++)
#pragma GCC unroll 8
            for (int j = 0; j < P; j++) low[r][j] = high[r][j] = Vec{};
        const auto* span = b + Stored::words(start);
        const int64_t end = std::min(in, start + std::min(in, Stored::SPAN));
        for (int64_t k = start; k < end; k++) {
#pragma GCC unroll 8
            for (int j = 0; j < P; j++) {
                const auto* at = span + j * words + Stored::HEAD + (k - start) * Stored::BESIDE;
                if constexpr (P == 1) prefetch(at + AHEAD * Stored::BESIDE, Stored::BESIDE);
                const Vec left = Stored::left(at), right = Stored::right(at);
#pragma GCC unroll 16
                for (int r = 0; r < R; r++) {
                    const float value = a[r * p.a_stride + k];
                    low[r][j] += value * left;
                    high[r][j] += value * right;
                }
            }
        }
#pragma GCC unroll 16
        for (int r = 0; r < R; r++)
#pragma GCC unroll 8
            for (int j = 0; j < P; j++) {
                if constexpr (scaled) {
                    const auto* scales = reinterpret_cast<const float*>(span + j * words);
                    sums[r][j][0] += load(scales) * low[r][j];
                    sums[r][j][1] += load(scales + W) * high[r][j];
                } else {
                    sums[r][j][0] = low[r][j], sums[r][j][1] = high[r][j];
                }
            }
    }
    for (int j = 0; j < P; j++)
        for (int r = 0; r < R; r++) finish(p, row + r, panel + j, sums[r][j][0], sums[r][j][1]);
}

// How many panels a tile of R rows takes: enough sums at once to keep the multipliers busy, and no more.
constexpr int panels_beside(int rows) { return rows == 1 ? 4 : 2 * rows <= MAX_ROWS ? 2 : 1; }

// a [R, in] x panels [from, to) -> c [R, (to - from) * 2 W], P panels at a time.
template <int R, class Stored>
void strip(const Gemm& p, int64_t row, int64_t from, int64_t to) {
    constexpr int P = panels_beside(R);
    int64_t panel = from;
    for (; panel + P <= to; panel += P) tile<R, P, Stored>(p, row, panel);
    if constexpr (P > 1)
        for (; panel < to; panel++) tile<R, 1, Stored>(p, row, panel);
}

// The same for a number of rows known only now, 1 .. MAX_ROWS.
template <class Stored, int R = MAX_ROWS>
void rest(const Gemm& p, int64_t rows, int64_t row, int64_t from, int64_t to) {
    if constexpr (R > 0) {
        if (rows == R) return strip<R, Stored>(p, row, from, to);
        rest<Stored, R - 1>(p, rows, row, from, to);
    }
}

// a [last - first, in] x panels [from, to) -> c rows [first, last). Few rows: panels stream by.
// Many: a panel stays while rows pass, in tiles of nearly equal height.
template <class Stored>
void multiply_stored(const Gemm& p, int64_t first, int64_t last, int64_t from, int64_t to) {
    const int64_t rows = last - first, tiles = (rows + MAX_ROWS - 1) / MAX_ROWS;
    if (tiles == 1) return rest<Stored>(p, rows, first, from, to);
    for (int64_t panel = from; panel < to; panel++)
        for (int64_t i = 0; i < tiles; i++) {
            const int64_t start = i * rows / tiles, end = (i + 1) * rows / tiles;
            rest<Stored>(p, end - start, first + start, panel, panel + 1);
        }
}

inline void multiply(const Gemm& p, int64_t first, int64_t last, int64_t from, int64_t to) {
    if (p.weight.panels.format == Format::bf16) return multiply_stored<Half>(p, first, last, from, to);
    if (p.weight.panels.format == Format::int8) return multiply_stored<Quarter>(p, first, last, from, to);
    multiply_stored<Full>(p, first, last, from, to);
}
