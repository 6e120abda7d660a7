// Attention over pages against sums in double precision, for whatever processor this is compiled for: KV as fp32 and as
// bf16, heads and blocks of many sizes, few rows and many; whatever nobody owns is NaN. Prints what it tried.

#include <cstdio>
#include <cstdlib>

#include "forward.cpp"

namespace {

constexpr int64_t TOKENS = 77, ROWS = 25;

float drawn() {
    static uint32_t state = 1;
    state = state * 1664525u + 1013904223u;
    return static_cast<float>(state >> 8) / 8388608.0f - 1.0f;
}

// What one request's rows read: keys and values [TOKENS, depth] of one head, in blocks that lie anywhere.
template <class KV>
struct Case {
    int64_t depth, size, blocks;
    std::vector<int32_t> table;
    std::vector<float> keys, values, queries;
    std::vector<typename KV::Number> pool;

    Case(int64_t depth, int64_t size) : depth(depth), size(size), blocks((TOKENS + size - 1) / size) {
        for (int64_t i = 0; i < blocks; i++) table.push_back(static_cast<int32_t>(2 * blocks - 1 - 2 * i));
        for (int64_t i = 0; i < TOKENS * depth; i++) keys.push_back(drawn()), values.push_back(drawn());
        for (int64_t i = 0; i < ROWS * depth; i++) queries.push_back(drawn());
        pool.assign(2 * blocks * 2 * depth * size, KV::stored(__builtin_nanf("")));
        for (int64_t token = 0; token < TOKENS; token++) {
            auto* block = pool.data() + table[token / size] * 2 * depth * size;
            auto* values = block + depth * size;
            for (int64_t d = 0; d < depth; d++) {
                block[KV::key_at(d, token % size, size)] = KV::stored(keys[token * depth + d]);
                values[KV::value_at(d, token % size, size, depth)] = KV::stored(this->values[token * depth + d]);
            }
        }
    }

    // rows [rows, depth]: row r sees seen - rows + 1 + r tokens.
    std::vector<float> attended(int64_t rows) const {
        const Pages<KV> pages{table.data(), pool.data(), pool.data() + depth * size, 2 * depth * size, size, depth};
        std::vector<float> given = queries;
        for (int64_t r = 0; KV::ROUNDS && r < ROWS; r++)
            round_to_pairs(given.data() + r * depth, depth, reinterpret_cast<uint32_t*>(given.data()) + r * depth / 2);
        std::vector<float> out(rows * depth);
        std::vector<RowMask> masks;
        std::vector<float*> outs;
        for (int64_t r = 0; r < rows; r++) masks.push_back({seen(r), 0, nullptr}), outs.push_back(out.data() + r * depth);
        Scratch scratch;
        attend(
            rows, pages, reinterpret_cast<const typename KV::Given*>(given.data()), masks.data(), outs.data(), scratch
        );
        return out;
    }

    static int64_t seen(int64_t row) { return TOKENS - 3 * row; }

    // Largest distance of the rows from what they are in double precision; `rounded`: of what the pool holds.
    double off(const std::vector<float>& out, int64_t rows, bool rounded) const {
        const auto kept = [&](float number) { return double(rounded ? KV::number(KV::stored(number)) : number); };
        double worst = 0;
        for (int64_t r = 0; r < rows; r++) {
            std::vector<double> weights;
            double total = 0;
            for (int64_t t = 0; t < seen(r); t++) {
                double score = 0;
                for (int64_t d = 0; d < depth; d++) score += double(queries[r * depth + d]) * kept(keys[t * depth + d]);
                weights.push_back(std::exp(score));
                total += weights.back();
            }
            for (int64_t d = 0; d < depth; d++) {
                double due = 0;
                for (int64_t t = 0; t < seen(r); t++) due += weights[t] / total * kept(values[t * depth + d]);
                const double distance = std::fabs(due - out[r * depth + d]);
                worst = distance <= worst ? worst : distance;  // NaN is the worst
            }
        }
        return worst;
    }
};

// precise: distance from what is computed of the numbers that are kept; allowed: of unrounded ones.
template <class KV>
bool right(const char* name, double precise, double allowed) {
    double exact = 0, rounding = 0;
    for (int64_t depth : {4, 32, 40, 64, 128})
        for (int64_t size : {1, 4, 16, 64}) {
            const Case<KV> one(depth, size);
            const std::vector<float> all = one.attended(ROWS);
            for (int64_t rows : {int64_t(1), int64_t(2), int64_t(7), int64_t(12), ROWS}) {
                const std::vector<float> out = one.attended(rows);
                const double now = one.off(out, rows, true), whole = one.off(out, rows, false);
                if (!(now < precise) || !(whole < allowed)) {
                    std::printf("%s: %ld rows, heads of %ld, blocks of %ld: off by %.3g, of unrounded numbers %.3g\n", name,
                                long(rows), long(depth), long(size), now, whole);
                    return false;
                }
                if (std::memcmp(out.data(), all.data(), sizeof(float) * out.size()) != 0) {
                    std::printf("%s: a row of %ld is not what it is among %ld\n", name, long(rows), long(ROWS));
                    return false;
                }
                exact = std::max(exact, now), rounding = std::max(rounding, whole);
            }
        }
    std::printf("%s in vectors of %d: off by %.2g, of unrounded numbers %.2g\n", name, W, exact, rounding);
    return true;
}

}  // namespace

int main() {
    const bool fine = right<WholeKV>("KV in fp32", 1e-5, 1e-5) && right<HalfKV>("KV in bf16", 1e-5, 0.02);
    return fine && (!DOT_PRODUCTS || right<PairedKV>("KV in bf16, products too", 0.05, 0.05)) ? 0 : 1;
}
