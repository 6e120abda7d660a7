// What one core can do at most: multiply-adds that wait for nothing, and reads that compute next to nothing.
#pragma once

#include "simd.h"

#if defined(__x86_64__) || defined(__i386__)
constexpr int CHAINS = 12;  // two multipliers with a latency of four or five; sums and factors fit into 16 registers
#else
constexpr int CHAINS = 20;  // up to four multipliers, and 32 registers
#endif

// 2 * W * CHAINS operations a round.
inline float multiply_adds(int64_t rounds) {
    const Vec factor = opaque(broadcast(0.5f)), term = opaque(broadcast(0.25f));
    Vec sums[CHAINS];
#pragma GCC unroll 20
    for (int i = 0; i < CHAINS; i++) sums[i] = broadcast(static_cast<float>(i));
    for (int64_t round = 0; round < rounds; round++)
#pragma GCC unroll 20
        for (int i = 0; i < CHAINS; i++) sums[i] = opaque(sums[i] * factor + term);
    float total = 0;
    for (int i = 0; i < CHAINS; i++) total += sum(sums[i]);
    return total;
}

// Reads `count` numbers, a multiple of 8 W; what is beyond is left out.
inline float read_numbers(const float* from, int64_t count) {
    Vec sums[8] = {};
    for (int64_t i = 0; i + 8 * W <= count; i += 8 * W)
#pragma GCC unroll 8
        for (int j = 0; j < 8; j++) sums[j] += load(from + i + j * W);
    float total = 0;
    for (int j = 0; j < 8; j++) total += sum(sums[j]);
    return total;
}
