// GEMM of a few rows with a weight that was packed once: panels of 2 W columns, all of K for a panel side by side.
//
// A panel holds fp32, or bf16 of which each number is the upper half of the fp32 that it is multiplied as: two
// neighbours along k share a word. Or int8 with a scale for every GROUP of k of a column (llama.cpp's Q8_0). Reading it
// costs a half or a quarter, and loses nothing that the weights had.
//
// Products are computed in fp32. Where the processor has dot products of bf16 or of int8, rows that were rounded can be
// multiplied with panels of such numbers in half or a quarter of the time: asked for, never by itself.
//
// Every sum runs over k in order, in one accumulator (of int8: in one a group, and over the groups in order), whatever
// the tile: a row's result does not depend on what rows are computed beside it.
#pragma once

#include <algorithm>
#include <type_traits>

#include "simd.h"

constexpr int COLUMNS = 2 * W;  // of a panel
constexpr int64_t AHEAD = 64;   // numbers of k to prefetch ahead: what few rows need comes too late when it is used

constexpr int64_t GROUP = 32;   // of k that share a scale of int8
constexpr int64_t ROUNDED_GROUP = GROUP / 4 + 2;  // words of a row's group: int8, their scale, -128 times their sum

enum class Format : int64_t { fp32, bf16, int8, bytes };

// [ceil(out / COLUMNS), in, COLUMNS], zeros beyond `out`; bf16: [.., in / 2, COLUMNS] words; int8: [.., in / GROUP]
// groups of 2 W scales in fp32 and [GROUP, 2 W] numbers; bytes: the same numbers for rows of int8, each plus 128, four
// neighbours along k in a word, [GROUP / 4, 2 W].
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
    const uint32_t* groups = nullptr;  // a [rows, in / GROUP, ROUNDED_GROUP] for panels of bytes
    const uint32_t* pairs = nullptr;  // a [rows, in / 2], rounded to pairs of bf16; null: a is multiplied as it is
    int64_t rounded_stride = 0;       // of groups or pairs
};

// From a row of so many words to the next: whole lines, an odd number of them. What lies a multiple of 4 KB apart shares
// a set of the first cache, and the rows of a tile do not fit into one.
constexpr int64_t apart(int64_t words) { return ((words + 15) / 16 | 1) * 16; }

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

// How many panels a tile of R rows takes: enough sums at once to keep the multipliers busy, and no more.
constexpr int panels_beside(int rows) { return rows == 1 ? 4 : 2 * rows <= MAX_ROWS ? 2 : 1; }

// Panels that are multiplied with fp32. Given: what they are multiplied with.
struct Exact {
    using Given = float;
    static constexpr int64_t TALLEST = MAX_ROWS;  // of the tiles of many rows
    static constexpr int beside(int rows) { return panels_beside(rows); }
    static const float* row(const Gemm& p, int64_t row) { return p.a + row * p.a_stride; }
    static int64_t stride(const Gemm& p) { return p.a_stride; }
    static int64_t steps(int64_t in) { return in; }
    static void add(Vec& sum, float value, Vec numbers) { sum += value * numbers; }
};

// STEP neighbours along k lie in BESIDE words. SPAN: so many k lie together behind their scales, and have a sum of
// their own.
struct Full : Exact {
    using Word = float;
    static constexpr int64_t SPAN = INT64_MAX, HEAD = 0, BESIDE = COLUMNS, STEP = 1;
    static constexpr int64_t words(int64_t in) { return in * COLUMNS; }
    static Vec number(const float* at, int64_t) { return opaque(load(at)); }
};

struct Half : Exact {
    using Word = uint32_t;
    static constexpr int64_t SPAN = INT64_MAX, HEAD = 0, BESIDE = COLUMNS, STEP = 2;
    static constexpr int64_t words(int64_t in) { return in / STEP * COLUMNS; }
    static Vec number(const uint32_t* at, int64_t which) {
        const WordVec both = load(at);
        return opaque(as_floats(which == 0 ? both << 16 : both & 0xffff0000u));
    }
};

struct Quarter : Exact {
    using Word = int8_t;
    static constexpr int64_t SPAN = GROUP, HEAD = 4 * COLUMNS, BESIDE = COLUMNS, STEP = 1;
    static constexpr int64_t words(int64_t in) { return in / GROUP * (HEAD + GROUP * BESIDE); }
    static Vec number(const int8_t* at, int64_t) { return opaque(widened(at)); }
};

// Half, multiplied with pairs of bf16: a step is a pair.
struct Pairs {
    using Given = uint32_t;
    static constexpr int64_t TALLEST = MAX_ROWS;
    static constexpr int beside(int rows) { return panels_beside(rows); }
    using Word = uint32_t;
    static constexpr int64_t SPAN = INT64_MAX, HEAD = 0, BESIDE = COLUMNS, STEP = 1;
    static constexpr int64_t words(int64_t in) { return Half::words(in); }
    static const uint32_t* row(const Gemm& p, int64_t row) { return p.pairs + row * stride(p); }
    static int64_t stride(const Gemm& p) { return p.rounded_stride; }
    static int64_t steps(int64_t in) { return in / 2; }
    static WordVec number(const uint32_t* at, int64_t) { return load(at); }
    static void add(Vec& sum, uint32_t value, WordVec numbers) {
        sum = add_dot_products(sum, value - WordVec{}, numbers);
    }
};

// Numbers that rows of int8 are multiplied with, see Format::bytes.
struct Bytes {
    using Word = uint32_t;
    static constexpr int64_t TALLEST = MAX_ROWS / 2;  // whose sums, of a group and of all, fit into the registers
    static constexpr int beside(int rows) {
        return std::max<int>(1, std::min<int>(panels_beside(rows), TALLEST / rows));
    }
    static constexpr int64_t SPAN = (1 + GROUP / 4) * COLUMNS;  // words of a group
    static constexpr int64_t words(int64_t in) { return in / GROUP * SPAN; }
};

// The lines that so many words from `at` on lie in.
template <class Word>
void prefetch(const Word* at, int64_t words) {
    for (int64_t i = 0; i < words; i += 64 / static_cast<int64_t>(sizeof(Word))) __builtin_prefetch(at + i, 0, 2);
}

// a [R, in] x panels [P, in, 2 W], the first at b -> sums [R, P * 2 W] in registers -> epilogue.
template <int R, int P, class Stored>
void tile(const Gemm& p, int64_t row, int64_t panel, const typename Stored::Word* b) {
    constexpr bool scaled = Stored::HEAD > 0;
    constexpr int64_t STEP = Stored::STEP;
    const int64_t in = Stored::steps(p.weight.in), words = Stored::words(p.weight.in), stride = Stored::stride(p);
    const typename Stored::Given* a = Stored::row(p, row);
    Vec sums[R][P][2]{};  // in memory
    for (int64_t start = 0; start < in; start += std::min(in, Stored::SPAN)) {
        Vec low[R][P], high[R][P];
#pragma GCC unroll 16
        for (int r = 0; r < R; r++)
#pragma GCC unroll 8
            for (int j = 0; j < P; j++) low[r][j] = high[r][j] = Vec{};
        const auto* span = b + Stored::words(start);
        const int64_t end = std::min(in, start + std::min(in, Stored::SPAN));
        for (int64_t k = start; k < end; k += STEP) {
#pragma GCC unroll 8
            for (int j = 0; j < P; j++) {
                const auto* at = span + j * words + Stored::HEAD + (k - start) / STEP * Stored::BESIDE;
                if constexpr (P == 1) prefetch(at + AHEAD / STEP * Stored::BESIDE, Stored::BESIDE);
#pragma GCC unroll 2
                for (int64_t which = 0; which < STEP; which++) {
                    const auto left = Stored::number(at, which), right = Stored::number(at + W, which);
#pragma GCC unroll 16
                    for (int r = 0; r < R; r++) {
                        const auto value = a[r * stride + k + which];
                        Stored::add(low[r][j], value, left);
                        Stored::add(high[r][j], value, right);
                    }
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

// The same of rows of int8: sums of a group are whole numbers, those over the groups fp32. What is added to the panel's
// numbers to make them unsigned is taken off before.
template <int R, int P>
void tile_of_bytes(const Gemm& p, int64_t row, int64_t panel, const uint32_t* b) {
    const int64_t groups = p.weight.in / GROUP, words = Bytes::words(p.weight.in), stride = p.rounded_stride;
    const uint32_t* a = p.groups + row * stride;
    Vec sums[R][P][2]{};
    for (int64_t group = 0; group < groups; group++, a += ROUNDED_GROUP, b += Bytes::SPAN) {
        IntVec low[R][P], high[R][P];
#pragma GCC unroll 16
        for (int r = 0; r < R; r++)
#pragma GCC unroll 8
            for (int j = 0; j < P; j++)
                low[r][j] = high[r][j] = static_cast<int32_t>(a[r * stride + ROUNDED_GROUP - 1]) - IntVec{};
#pragma GCC unroll 8
        for (int64_t k = 0; k < GROUP / 4; k++)
#pragma GCC unroll 8
            for (int j = 0; j < P; j++) {
                const uint32_t* at = b + j * words + (1 + k) * COLUMNS;
                if constexpr (P == 1) prefetch(at + AHEAD / 4 * COLUMNS, COLUMNS);
                const WordVec left = load(at), right = load(at + W);
#pragma GCC unroll 16
                for (int r = 0; r < R; r++) {
                    const WordVec value = a[r * stride + k] - WordVec{};
                    low[r][j] = add_byte_products(low[r][j], left, value);
                    high[r][j] = add_byte_products(high[r][j], right, value);
                }
            }
#pragma GCC unroll 16
        for (int r = 0; r < R; r++)
#pragma GCC unroll 8
            for (int j = 0; j < P; j++) {
                float scale;
                std::memcpy(&scale, a + r * stride + GROUP / 4, sizeof scale);
                const Vec left = as_floats(load(b + j * words)), right = as_floats(load(b + j * words + W));
                sums[r][j][0] += __builtin_convertvector(low[r][j], Vec) * scale * left;
                sums[r][j][1] += __builtin_convertvector(high[r][j], Vec) * scale * right;
            }
    }
    for (int j = 0; j < P; j++)
        for (int r = 0; r < R; r++) finish(p, row + r, panel + j, sums[r][j][0], sums[r][j][1]);
}

// The tile for panels of one kind.
template <int R, int P, class Stored>
void any_tile(const Gemm& p, int64_t row, int64_t panel, const typename Stored::Word* b) {
    if constexpr (std::is_same_v<Stored, Bytes>) tile_of_bytes<R, P>(p, row, panel, b);
    else tile<R, P, Stored>(p, row, panel, b);
}

// a [R, in] x panels [from, to), the first at b -> c [R, (to - from) * 2 W], P panels at a time.
template <int R, class Stored>
void strip(const Gemm& p, int64_t row, int64_t from, int64_t to, const typename Stored::Word* b) {
    constexpr int P = Stored::beside(R);
    const int64_t words = Stored::words(p.weight.in);
    int64_t panel = from;
    for (; panel + P <= to; panel += P, b += P * words) any_tile<R, P, Stored>(p, row, panel, b);
    if constexpr (P > 1)
        for (; panel < to; panel++, b += words) any_tile<R, 1, Stored>(p, row, panel, b);
}

// The same for a number of rows known only now, 1 .. TALLEST.
template <class Stored, int R = Stored::TALLEST>
void rest(const Gemm& p, int64_t rows, int64_t row, int64_t from, int64_t to, const typename Stored::Word* b) {
    if constexpr (R > 0) {
        if (rows == R) return strip<R, Stored>(p, row, from, to, b);
        rest<Stored, R - 1>(p, rows, row, from, to, b);
    }
}

// a [last - first, in] x one panel at b -> c rows [first, last), in tiles of nearly equal height.
template <class Stored>
void column(const Gemm& p, int64_t first, int64_t last, int64_t panel, const typename Stored::Word* b) {
    const int64_t rows = last - first, tiles = (rows + Stored::TALLEST - 1) / Stored::TALLEST;
    for (int64_t i = 0; i < tiles; i++) {
        const int64_t start = i * rows / tiles, end = (i + 1) * rows / tiles;
        rest<Stored>(p, end - start, first + start, panel, panel + 1, b);
    }
}

// a [last - first, in] x panels [from, to) -> c rows [first, last). Few rows: panels stream by. Many: a panel stays
// while rows pass.
template <class Stored>
void multiply_stored(const Gemm& p, int64_t first, int64_t last, int64_t from, int64_t to) {
    const int64_t words = Stored::words(p.weight.in);
    const auto* b = static_cast<const typename Stored::Word*>(p.weight.panels.numbers) + from * words;
    if (last - first <= Stored::TALLEST) return rest<Stored>(p, last - first, first, from, to, b);
    for (int64_t panel = from; panel < to; panel++, b += words) column<Stored>(p, first, last, panel, b);
}

inline void multiply(const Gemm& p, int64_t first, int64_t last, int64_t from, int64_t to) {
    if constexpr (DOT_PRODUCTS)
        if (p.pairs) return multiply_stored<Pairs>(p, first, last, from, to);
    if constexpr (BYTE_PRODUCTS)
        if (p.groups) return multiply_stored<Bytes>(p, first, last, from, to);
    if (p.weight.panels.format == Format::bf16) return multiply_stored<Half>(p, first, last, from, to);
    if (p.weight.panels.format == Format::int8) return multiply_stored<Quarter>(p, first, last, from, to);
    multiply_stored<Full>(p, first, last, from, to);
}
