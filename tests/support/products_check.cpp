// Products of the forward pass against sums in double precision, for whatever processor this is compiled for: every
// format, few rows and many, and each row the same to the last bit whatever rows are beside it. Prints what it tried.

#include <cstdio>
#include <cstdlib>

#include "forward.cpp"

namespace {

constexpr int64_t IN = 96, OUT = 70;
const int64_t COUNTS[] = {1, 2, 5, 11, 30, 100};

float drawn() {
    static uint32_t state = 1;
    state = state * 1664525u + 1013904223u;
    return static_cast<float>(state >> 8) / 16777216.0f - 0.5f;
}

// A weight that the format holds: int8 with a scale that is a power of two, its largest 127.
std::vector<float> weight_for(Format format) {
    std::vector<float> weight(OUT * IN);
    for (int64_t i = 0; i < OUT * IN; i++) {
        weight[i] = drawn();
        const bool narrow = format == Format::int8 || format == Format::bytes;
        if (narrow) weight[i] = (i % GROUP == 0 ? 127.0f : std::nearbyint(weight[i] * 254.0f)) / 128.0f;
        if (format != Format::bf16) continue;
        uint32_t bits = nearest_bf16(weight[i]) << 16;
        std::memcpy(&weight[i], &bits, sizeof bits);
    }
    return weight;
}

std::vector<float> product(ThreadPool& workers, Gemm p, Format format, bool pairs, int64_t rows) {
    std::vector<float> c(rows * OUT, -1.0f);
    p.rounded_stride = apart(pairs ? IN / 2 : IN / GROUP * ROUNDED_GROUP);
    std::vector<uint32_t> rounded(rows * p.rounded_stride);
    p.c = c.data();
    for (int64_t row = 0; row < rows; row++) {
        uint32_t* const to = rounded.data() + row * p.rounded_stride;
        if (pairs) round_to_pairs(p.a + row * IN, IN, to);
        if (format == Format::bytes) round_to_groups(p.a + row * IN, IN, to);
    }
    if (pairs) p.pairs = rounded.data();
    if (format == Format::bytes) p.groups = rounded.data();
    multiply_shared(workers, p, rows);
    return c;
}

// Largest error of all products of this kind; exits where a row depends on its neighbours.
double error(ThreadPool& workers, Format format, bool pairs) {
    const std::vector<float> weight = weight_for(format);
    std::vector<float> a(COUNTS[5] * IN);
    for (float& each : a) each = drawn();
    std::vector<char> packed(packed_bytes(OUT, IN, format));
    pack(weight.data(), OUT, IN, 0, format, packed.data());
    const Gemm p{a.data(), IN, {{packed.data(), format}, IN, OUT}, nullptr, OUT, nullptr, Epilogue::write};
    const std::vector<float> all = product(workers, p, format, pairs, COUNTS[5]);
    double worst = 0;
    for (int64_t row = 0; row < COUNTS[5]; row++)
        for (int64_t column = 0; column < OUT; column++) {
            double due = 0;
            for (int64_t k = 0; k < IN; k++) due += double(a[row * IN + k]) * weight[column * IN + k];
            worst = std::max(worst, std::fabs(due - all[row * OUT + column]));
        }
    for (int64_t rows : COUNTS) {
        const std::vector<float> some = product(workers, p, format, pairs, rows);
        if (std::memcmp(some.data(), all.data(), sizeof(float) * some.size()) != 0) {
            std::printf("a row of %ld is not what it is among %ld\n", long(rows), long(COUNTS[5]));
            std::exit(1);
        }
    }
    return worst;
}

}  // namespace

int main() {
    ThreadPool& workers = *new ThreadPool(2);  // its threads outlive main
    struct Kind {
        const char* name;
        Format format;
        bool there, pairs;
        double allowed;
    };
    const Kind kinds[] = {
        {"fp32", Format::fp32, true, false, 1e-5},
        {"bf16", Format::bf16, true, false, 1e-5},
        {"int8", Format::int8, true, false, 1e-5},
        {"bf16 times bf16", Format::bf16, DOT_PRODUCTS, true, 0.05},
        {"int8 times int8", Format::bytes, BYTE_PRODUCTS, false, 0.1},
    };
    for (const Kind& kind : kinds) {
        if (!kind.there) continue;
        const double found = error(workers, kind.format, kind.pairs);
        std::printf("%s in vectors of %d: off by %.2g\n", kind.name, W, found);
        if (!(found < kind.allowed)) return 1;
    }
    return 0;
}
