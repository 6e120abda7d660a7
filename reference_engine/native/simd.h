// Vectors of the width that the processor has, as the compiler's own vector types: any architecture, and intrinsics only
// where a compiler makes many instructions of what the processor has one for.
#pragma once

#include <cstdint>
#include <cstring>
#if defined(__AVX2__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
constexpr int W = 16;       // floats in a vector
constexpr int MAX_ROWS = 12;  // rows of a product's tile: 24 of 32 registers hold its sums
#elif defined(__AVX__)
constexpr int W = 8;
constexpr int MAX_ROWS = 6;
#else
constexpr int W = 4;
constexpr int MAX_ROWS = 6;
#endif

typedef float Vec __attribute__((vector_size(W * 4), aligned(4), may_alias));
typedef uint32_t WordVec __attribute__((vector_size(W * 4), aligned(4), may_alias));
typedef int32_t IntVec __attribute__((vector_size(W * 4), aligned(4), may_alias));

inline Vec load(const float* from) { return *reinterpret_cast<const Vec*>(from); }
inline WordVec load(const uint32_t* from) { return *reinterpret_cast<const WordVec*>(from); }
inline void store(float* to, Vec value) { *reinterpret_cast<Vec*>(to) = value; }
inline Vec broadcast(float value) { return value - Vec{}; }
inline Vec min(Vec a, Vec b) { return a < b ? a : b; }
inline Vec max(Vec a, Vec b) { return a > b ? a : b; }

// Opaque to the compiler: keeps a loaded vector in its register; the compiler would rather load it again for every use.
inline Vec opaque(Vec v) {
#if defined(__AVX512F__)
    asm("" : "+v"(v));
#elif defined(__x86_64__)
    if constexpr (sizeof(Vec) <= 32) asm("" : "+x"(v));
#elif defined(__aarch64__)
    asm("" : "+w"(v));
#endif
    return v;
}

// The bits of each lane, read as a float.
inline Vec as_floats(WordVec bits) {
    Vec floats;
    std::memcpy(&floats, &bits, sizeof floats);
    return floats;
}

// W neighbouring int8 as floats.
inline Vec widened(const int8_t* from) {
#if defined(__AVX512F__)
    return reinterpret_cast<Vec>(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)))));
#elif defined(__AVX2__)
    return reinterpret_cast<Vec>(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadu_si64(from))));
#else
    typedef int8_t Bytes __attribute__((vector_size(W), aligned(1), may_alias));
    return __builtin_convertvector(*reinterpret_cast<const Bytes*>(from), Vec);
#endif
}

#if defined(__AVX512BF16__)
constexpr bool DOT_PRODUCTS = true;

// Of each lane: sum + a's lower bf16 times b's + a's upper times b's.
inline Vec add_dot_products(Vec sums, WordVec a, WordVec b) {
    return reinterpret_cast<Vec>(_mm512_dpbf16_ps(reinterpret_cast<__m512>(sums), (__m512bh)a, (__m512bh)b));
}

// 2 W neighbours, rounded to the nearest bf16, as pairs.
inline void store_pairs(uint32_t* to, const float* from) {
    const auto pairs = _mm512_cvtne2ps_pbh(_mm512_loadu_ps(from + W), _mm512_loadu_ps(from));
    std::memcpy(to, &pairs, sizeof pairs);
}
#else
constexpr bool DOT_PRODUCTS = false;
inline Vec add_dot_products(Vec sums, WordVec, WordVec) { return sums; }
#endif

#if defined(__AVX512VNNI__)
constexpr bool BYTE_PRODUCTS = true;

// Of each lane: sum + its four bytes of a, from 0 to 255, times those of b, from -128 to 127.
inline IntVec add_byte_products(IntVec sums, WordVec a, WordVec b) {
    return reinterpret_cast<IntVec>(
        _mm512_dpbusd_epi32(reinterpret_cast<__m512i>(sums), reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b))
    );
}
#else
constexpr bool BYTE_PRODUCTS = false;
inline IntVec add_byte_products(IntVec sums, WordVec, WordVec) { return sums; }
#endif

// The nearest bf16, of equally near ones the even, as an fp32's upper half.
inline uint32_t nearest_bf16(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    if (value != value) return bits >> 16 | 0x40u;  // NaN stays one
    return (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
}

// x [in] -> pairs [in / 2] of the nearest bf16; they may begin where x does
inline void round_to_pairs(const float* x, int64_t in, uint32_t* pairs) {
    int64_t i = 0;
#if defined(__AVX512BF16__)
    for (; i + 2 * W <= in; i += 2 * W) store_pairs(pairs + i / 2, x + i);
#endif
    for (; i + 2 <= in; i += 2) pairs[i / 2] = nearest_bf16(x[i]) | nearest_bf16(x[i + 1]) << 16;
}

inline float sum(Vec v) {
    float total = 0;
    for (int i = 0; i < W; i++) total += v[i];
    return total;
}

inline float horizontal_max(Vec v) {
    float top = v[0];
    for (int i = 1; i < W; i++) top = v[i] > top ? v[i] : top;
    return top;
}

// The same of numbers, none of them NaN, in any order.
inline float largest(Vec v) {
#if defined(__AVX512F__)
    return _mm512_reduce_max_ps(reinterpret_cast<__m512>(v));
#else
    return horizontal_max(v);
#endif
}

inline int32_t sum(IntVec v) {
#if defined(__AVX512F__)
    return _mm512_reduce_add_epi32(reinterpret_cast<__m512i>(v));
#else
    int32_t total = 0;
    for (int i = 0; i < W; i++) total += v[i];
    return total;
#endif
}

// e to the x within 2 units in the last place; 0 below -87, where e to the x is no normal number. Cephes' polynomial.
inline Vec exponential(Vec x) {
    const Vec clamped = min(max(x, broadcast(-87.0f)), broadcast(88.0f));
    const Vec shifted = clamped * 1.44269504f + 12582912.0f;  // adding 1.5 * 2^23 rounds to an integer
    const Vec n = shifted - 12582912.0f;
    const Vec r = (clamped - n * 0.693359375f) + n * 2.12194440e-4f;
    Vec p = broadcast(1.9875691500e-4f);
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r + 1.0f;
    const IntVec power = (__builtin_convertvector(n, IntVec) + 127) << 23;
    Vec scale;
    std::memcpy(&scale, &power, sizeof scale);
    return x < -87.0f ? Vec{} : p * scale;
}

// x * sigmoid(x)
inline Vec silu(Vec x) { return x / (1.0f + exponential(-x)); }
