// The forward pass of a Llama for one step of the engine, and what Medusa heads and EAGLE's layer guess. Numbers are
// fp32; weights may be stored as bf16, or as int8 and scales.
//
// Called through ctypes: `Net`, `Step`, `Heads`, `Fusion` and what growing.h has mirror the ctypes structures in
// `library.py`.

#include <chrono>
#include <cmath>
#include <map>
#include <mutex>
#include <vector>

#include "attention.h"
#include "limits.h"
#include "gemm.h"
#include "growing.h"
#include "span.h"
#include "thread_pool.h"

namespace {

constexpr int64_t PASSING = 8 * MAX_ROWS;  // rows that go past a panel together: they stay in the cache
constexpr int64_t BESIDE = 8;              // rows that a thread norms or rounds at a time

struct Layer {
    Panels qkv, out, gate_up, down;
    const float *input_norm, *inner_norm;       // [width] before qkv and gate_up; null: folded into them
    const float *query_norm, *key_norm;         // [D] or null
};

struct Net {
    int64_t layers, width, heads, kv_heads, depth, inner, vocab, positions;
    float eps, scale;
    const void* embedding;                      // [vocab, width]
    Format embedded;
    Panels head;
    const float* norm;                          // [width]
    const float *cosines, *sines;               // [positions, D / 2]
    const Layer* layer;
    Format arithmetic;                          // fp32, or bf16: rows are rounded to it before panels of bf16
    int64_t head_columns() const { return heads + 2 * kv_heads; }
};

struct Step {
    int64_t spans, rows, wanted;                // wanted: rows with logits
    const Span* span;
    const int64_t* tokens;                      // [rows]
    const int32_t* depths;                      // of the nodes of all trees
    const uint8_t* mask;                        // [trees * nodes, nodes]
    int64_t nodes;
    const int32_t* tables;                      // [seats, table width]
    int64_t table_width;
    void* pool;                                 // [layers, blocks, kv heads, 2, D * block size]
    Format kept;                                // its numbers: fp32, or bf16
    int64_t blocks, block_size;
    float *hidden, *logits;                     // [wanted, width], [wanted, vocab]
    int64_t* likeliest;                         // [wanted]
};

struct Heads {
    int64_t count, width, vocab;
    Panels blocks;                              // [count * width, width]
    const Panels* projections;                  // [vocab, width] each
};

// What EAGLE's layer reads in place of an embedding: [norm(embedding) ; norm(feature of the place before)] x fc.
struct Fusion {
    Panels fc;                                  // [width, 2 * width]
    const float *token_norm, *feature_norm;     // [width]
    float* features;                            // [slots, width]
};

// Where a span's rows lie among the step's.
struct Place {
    int64_t first, first_wanted;
};

// Scratch buffers of one thread.
struct ThreadScratch {
    Scratch queries, scores;
    std::vector<RowMask> masks;
    std::vector<float*> outs;
};

// a [rows, in] x weight -> c [rows, out], spread over the pool in units of [rows / pieces] x [step panels].
void multiply_shared(ThreadPool& workers, const Gemm& p, int64_t rows) {
    const int64_t panels = p.weight.count();
    const int64_t pieces = std::max<int64_t>(1, (rows + PASSING - 1) / PASSING);
    int64_t step = std::max<int64_t>(1, panels / (pieces > 3 ? 2 : 4 * workers.members()));
    const int64_t beside = rows <= MAX_ROWS ? panels_beside(static_cast<int>(rows)) : 1;
    step = (step + beside - 1) / beside * beside;
    const int64_t strips = (panels + step - 1) / step;
    workers.share(pieces * strips, [&](int64_t unit) {
        const int64_t piece = unit / strips, from = unit % strips * step;
        const int64_t first = piece * rows / pieces, last = (piece + 1) * rows / pieces;
        multiply(p, first, last, from, std::min(panels, from + step));
    });
}

// x [width] -> 1 / sqrt(mean of squares + eps)
float over_length(const float* x, int64_t width, float eps) {
    Vec total{};
    int64_t i = 0;
    for (; i + W <= width; i += W) total += load(x + i) * load(x + i);
    float rest = sum(total);
    for (; i < width; i++) rest = __builtin_fmaf(x[i], x[i], rest);
    return 1.0f / std::sqrt(rest / static_cast<float>(width) + eps);
}

// x [in] -> [in / GROUP, ROUNDED_GROUP]: the nearest int8 of each group, its scale, and what their sum takes off.
void round_to_groups(const float* x, int64_t in, uint32_t* to) {
    typedef int8_t Narrow __attribute__((vector_size(W), aligned(1), may_alias));
    for (int64_t start = 0; start < in; start += GROUP, to += ROUNDED_GROUP) {
        Vec top{};
        for (int64_t k = 0; k < GROUP; k += W) top = max(top, max(load(x + start + k), -load(x + start + k)));
        const float most = largest(top), scale = most / 127.0f, inverse = most > 0.0f ? 127.0f / most : 0.0f;
        IntVec total{};
        for (int64_t k = 0; k < GROUP; k += W) {
            const Vec near = load(x + start + k) * inverse + 12582912.0f;  // adding 1.5 * 2^23 rounds to an integer
            const IntVec whole = __builtin_convertvector(near - 12582912.0f, IntVec);
            total += whole;
            *reinterpret_cast<Narrow*>(reinterpret_cast<int8_t*>(to) + k) = __builtin_convertvector(whole, Narrow);
        }
        std::memcpy(to + GROUP / 4, &scale, sizeof scale);
        to[ROUNDED_GROUP - 1] = static_cast<uint32_t>(-128 * sum(total));
    }
}

// The embedding of a token -> x [width]
void embed(const Net& net, int64_t token, float* x) {
    if (net.embedded == Format::fp32) {
        std::copy_n(static_cast<const float*>(net.embedding) + token * net.width, net.width, x);
        return;
    }
    const uint16_t* from = static_cast<const uint16_t*>(net.embedding) + token * net.width;
    for (int64_t i = 0; i < net.width; i++) {
        const uint32_t bits = static_cast<uint32_t>(from[i]) << 16;
        std::memcpy(x + i, &bits, sizeof bits);
    }
}

// RoPE of one head: from [D], normed by norm [D] if the model does that -> to [D], times `factor`.
void turn(const Net& net, const float* from, const float* norm, int64_t position, float factor, float* to) {
    const int64_t half = net.depth / 2;
    const float* cosine = net.cosines + position * half;
    const float* sine = net.sines + position * half;
    const float scale = norm ? over_length(from, net.depth, net.eps) : 1.0f;
    for (int64_t i = 0; i < half; i++) {
        const float a = from[i] * (norm ? scale * norm[i] : 1.0f);
        const float b = from[i + half] * (norm ? scale * norm[i + half] : 1.0f);
        to[i] = (a * cosine[i] - b * sine[i]) * factor;
        to[i + half] = (b * cosine[i] + a * sine[i]) * factor;
    }
}

// logits [vocab] -> index of the largest; the first of equals.
int64_t likeliest(const float* logits, int64_t vocab) {
    Vec best = broadcast(-__builtin_inff());
    IntVec places{}, here{};
    for (int i = 0; i < W; i++) here[i] = i;
    int64_t i = 0;
    for (; i + W <= vocab; i += W, here += W) {
        const Vec value = load(logits + i);
        places = value > best ? here : places;
        best = max(value, best);
    }
    float top = -__builtin_inff();
    int64_t place = 0;
    for (int lane = 0; lane < W && i > 0; lane++)
        if (best[lane] > top || (best[lane] == top && places[lane] < place)) top = best[lane], place = places[lane];
    for (; i < vocab; i++)
        if (logits[i] > top) top = logits[i], place = i;
    return place;
}

class Pass {
  public:
    Pass(const Net& net, const Step& step, ThreadPool& workers, Scratch* buffers)
        : net_(net), step_(step), workers_(workers) {
        const int64_t rows = step.rows;
        x_ = buffers[0].get(rows * stride_);
        states_ = buffers[1].get(rows * net.head_columns() * net.depth);
        mixed_ = buffers[2].get(rows * mixed_stride_);
        inner_ = buffers[3].get(rows * inner_stride_);
        last_x_ = buffers[4].get(step.wanted * stride_);
        normed_ = buffers[5].get(rows * stride_);
        fused_ = &buffers[6];
        rounded_ = &buffers[7];
        int64_t at = 0, wanted = 0;
        for (int64_t i = 0; i < step.spans; i++) {
            places_.push_back({at, wanted});
            at += step.span[i].rows;
            wanted += step.span[i].wanted;
        }
    }

    // tokens [rows] -> x [rows, width]
    void read_tokens() {
        workers_.share(step_.spans, [&](int64_t i) {
            for (int64_t row = places_[i].first; row < places_[i].first + step_.span[i].rows; row++)
                embed(net_, step_.tokens[row], x_ + row * stride_);
        });
    }

    // tokens [rows] and the features in slots `before` [rows], zeros where that is -1 -> x [rows, width]
    void fuse(const Fusion& fusion, const int64_t* before) {
        const int64_t width = net_.width, wide = apart(2 * width);
        float* const both = fused_->get(step_.rows * wide);  // [rows, 2 * width]
        workers_.share(step_.spans, [&](int64_t i) {
            for (int64_t row = places_[i].first; row < places_[i].first + step_.span[i].rows; row++) {
                float* const left = both + row * wide;
                embed(net_, step_.tokens[row], left);
                norm(left, fusion.token_norm, left);
                if (before[row] < 0) std::fill_n(left + width, width, 0.0f);
                else norm(fusion.features + before[row] * width, fusion.feature_norm, left + width);
            }
        });
        multiply_shared(
            workers_, {both, wide, {fusion.fc, 2 * width, width}, x_, stride_, nullptr, Epilogue::write}, step_.rows
        );
    }

    // x [rows, width] -> hidden [wanted, width], logits [wanted, vocab], likeliest [wanted].
    void run() {
        const int64_t width = net_.width;
        float* x = x_;
        int64_t rows = step_.rows;
        for (int64_t index = 0; index < net_.layers; index++) {
            const Layer& layer = net_.layer[index];
            const int64_t columns = net_.head_columns() * net_.depth;
            const float* read_by = normed(x, rows, layer.input_norm);
            product({read_by, stride_, {layer.qkv, width, columns}, states_, columns, scales_.data(), Epilogue::write}, rows);
            const bool last = index + 1 == net_.layers;
            workers_.share(step_.spans * net_.kv_heads, [&](int64_t unit) { read(index, last, unit); });
            if (last) {
                x = last_x_;
                rows = step_.wanted;
                if (rows == 0) return;
            }
            feed(layer, x, rows);
        }
        workers_.share(rows, [&](int64_t row) { norm(x + row * stride_, net_.norm, step_.hidden + row * width); });
        product({step_.hidden, width, {net_.head, width, net_.vocab}, step_.logits, net_.vocab, nullptr, Epilogue::write}, rows);
        workers_.share(rows, [&](int64_t row) {
            step_.likeliest[row] = likeliest(step_.logits + row * net_.vocab, net_.vocab);
        });
    }

  private:
    // RMSNorm of x [width], times weight [width] -> to [width]
    void norm(const float* x, const float* weight, float* to) const {
        const float scale = over_length(x, net_.width, net_.eps);
        for (int64_t i = 0; i < net_.width; i++) to[i] = x[i] * scale * weight[i];
    }

    // a [rows, in] x weight, in the arithmetic that the net is computed in.
    void product(Gemm p, int64_t rows) {
        const int64_t in = p.weight.in;
        const bool bytes = p.weight.panels.format == Format::bytes;
        const bool pairs = net_.arithmetic == Format::bf16 && p.weight.panels.format == Format::bf16;
        if (bytes || pairs) {
            p.rounded_stride = apart(pairs ? in / 2 : in / GROUP * ROUNDED_GROUP);
            auto* const rounded = reinterpret_cast<uint32_t*>(rounded_->get(rows * p.rounded_stride));
            each_row(rows, [&](int64_t row) {
                if (pairs) round_to_pairs(p.a + row * p.a_stride, in, rounded + row * p.rounded_stride);
                else round_to_groups(p.a + row * p.a_stride, in, rounded + row * p.rounded_stride);
            });
            (pairs ? p.pairs : p.groups) = rounded;
        }
        multiply_shared(workers_, p, rows);
    }

    // Calls what is done to a row, for all of them.
    template <class Done>
    void each_row(int64_t rows, const Done& done) {
        workers_.share((rows + BESIDE - 1) / BESIDE, [&](int64_t unit) {
            for (int64_t row = unit * BESIDE; row < std::min(rows, (unit + 1) * BESIDE); row++) done(row);
        });
    }

    // RMSNorm of x [rows, width] but for the rows' scales, which go to scales_: times norm [width], unless that is folded
    // into the next product.
    const float* normed(const float* x, int64_t rows, const float* norm) {
        scales_.resize(rows);
        each_row(rows, [&](int64_t row) {
            const float* from = x + row * stride_;
            float* to = normed_ + row * stride_;
            scales_[row] = over_length(from, net_.width, net_.eps);
            for (int64_t i = 0; norm && i < net_.width; i++) to[i] = from[i] * norm[i];
        });
        return norm ? normed_ : x;
    }

    // x [rows, width] += attention [rows, heads * D] x out; += silu(x gate) * (x up) [rows, inner] x down.
    void feed(const Layer& layer, float* x, int64_t rows) {
        const int64_t width = net_.width, read = net_.heads * net_.depth;
        product({mixed_, mixed_stride_, {layer.out, read, width}, x, stride_, nullptr, Epilogue::add}, rows);
        const float* read_by = normed(x, rows, layer.inner_norm);
        product(
            {read_by, stride_, {layer.gate_up, width, 2 * net_.inner}, inner_, inner_stride_, scales_.data(), Epilogue::gated},
            rows
        );
        product({inner_, inner_stride_, {layer.down, net_.inner, width}, x, stride_, nullptr, Epilogue::add}, rows);
    }

    void read(int64_t layer, bool last, int64_t unit) {
        if constexpr (DOT_PRODUCTS)
            if (step_.kept == Format::bf16 && net_.arithmetic == Format::bf16)
                return read_kept_as<PairedKV>(layer, last, unit);
        if (step_.kept == Format::bf16) return read_kept_as<HalfKV>(layer, last, unit);
        read_kept_as<WholeKV>(layer, last, unit);
    }

    // One span and one KV head: stores its rows' keys and values, then queries [count * group, D] attend to
    // tokens [0, start + rows) -> mixed [count, heads, D]. The last layer computes the wanted rows only.
    template <class KV>
    void read_kept_as(int64_t layer, bool last, int64_t unit) {
        thread_local ThreadScratch own;
        const int64_t index = unit / net_.kv_heads, head = unit % net_.kv_heads;
        const Span& span = step_.span[index];
        const int64_t group = net_.heads / net_.kv_heads, depth = net_.depth;
        const int64_t size = step_.block_size, stride = net_.kv_heads * 2 * depth * size;
        auto* keys = static_cast<typename KV::Number*>(step_.pool) + layer * step_.blocks * stride + head * 2 * depth * size;
        const Pages<KV> pages{
            step_.tables + span.seat * step_.table_width, keys, keys + depth * size, stride, size, depth
        };
        for (int64_t i = 0; i < span.rows; i++) keep(layer, head, span, i, places_[index].first + i, pages);
        const int64_t skipped = last ? span.rows - span.wanted : 0, count = span.rows - skipped;
        if (count == 0) return;
        const int64_t target = last ? places_[index].first_wanted : places_[index].first;
        float* queries = own.queries.get(count * group * depth);
        own.masks.resize(count * group);
        own.outs.resize(count * group);
        for (int64_t i = 0; i < count; i++) {
            const int64_t row = places_[index].first + skipped + i;
            const float* from = states_ + row * net_.head_columns() * depth;
            for (int64_t g = 0; g < group; g++) {
                const int64_t query = head * group + g, at = i * group + g;
                turn(net_, from + query * depth, net_.layer[layer].query_norm, position(span, skipped + i), net_.scale,
                     queries + at * depth);
                if constexpr (KV::ROUNDS)
                    round_to_pairs(queries + at * depth, depth, reinterpret_cast<uint32_t*>(queries) + at * depth / 2);
                own.masks[at] = visible(span, skipped + i);
                own.outs[at] = mixed_ + (target + i) * mixed_stride_ + query * depth;
            }
        }
        const auto* given = reinterpret_cast<const typename KV::Given*>(queries);
        attend(count * group, pages, given, own.masks.data(), own.outs.data(), own.scores);
        if (last && head == 0)
            std::copy_n(x_ + (places_[index].first + skipped) * stride_, count * stride_, last_x_ + target * stride_);
    }

    // Row `i` of a span: key [D], turned, and value [D] -> slot start + i of the pool, for one KV head.
    template <class KV>
    void keep(int64_t layer, int64_t head, const Span& span, int64_t i, int64_t row, const Pages<KV>& pages) {
        using Number = typename KV::Number;
        const int64_t depth = net_.depth, size = step_.block_size, token = span.start + i;
        const float* from = states_ + row * net_.head_columns() * depth;
        auto* keys = const_cast<Number*>(pages.keys_of(token / size));
        auto* values = const_cast<Number*>(pages.values_of(token / size));
        thread_local std::vector<float> turned;
        turned.resize(depth);
        turn(net_, from + (net_.heads + head) * depth, net_.layer[layer].key_norm, position(span, i), 1.0f, turned.data());
        for (int64_t d = 0; d < depth; d++) keys[KV::key_at(d, token % size, size)] = KV::stored(turned[d]);
        from += (net_.heads + net_.kv_heads + head) * depth;
        for (int64_t d = 0; d < depth; d++)
            values[KV::value_at(d, token % size, size, depth)] = KV::stored(from[d]);
    }

    // Where a span's i-th row stands in its text; guesses beyond the context are never kept.
    int64_t position(const Span& span, int64_t i) const {
        const int64_t root = span.rows - span.tree;
        const int64_t at = span.start + (i < root ? i : root + step_.depths[span.first + i - root]);
        return std::min(at, net_.positions - 1);
    }

    // A tree may be larger than its span: nodes before these rows have their KV already.
    RowMask visible(const Span& span, int64_t i) const {
        const int64_t root = span.rows - span.tree;
        if (i < root) return {span.start + i + 1, 0, nullptr};
        return {span.start + span.rows, span.start + root, step_.mask + (span.first + i - root) * step_.nodes};
    }

    const Net& net_;
    const Step& step_;
    ThreadPool& workers_;
    // From a row to the next of what is [rows, width], [rows, heads * D] and [rows, inner].
    const int64_t stride_ = apart(net_.width), mixed_stride_ = apart(net_.heads * net_.depth);
    const int64_t inner_stride_ = apart(net_.inner);
    float *x_, *states_, *mixed_, *inner_, *last_x_, *normed_;
    Scratch* fused_;
    Scratch* rounded_;           // of the rows that are multiplied next, in the numbers that they are multiplied as
    std::vector<Place> places_;
    std::vector<float> scales_;  // of the rows, for the norm before a product
};

// The thread pools of this process, one of each size that was asked for. Whoever holds the lock may use them.
struct PoolRegistry {
    std::mutex lock;
    std::map<int, ThreadPool*> pools;  // never deleted: their threads sleep on
    Scratch buffers[8];
    ThreadPool& of(int members) {
        ThreadPool*& workers = pools[members];
        if (!workers || !workers->usable()) workers = new ThreadPool(members);
        return *workers;
    }
};

PoolRegistry& registry() {
    static PoolRegistry* const one = new PoolRegistry;  // outlives the threads that the interpreter leaves behind
    return *one;
}

// What is computed for the time that it takes.
thread_local volatile float unread;

// logits [vocab] -> indices [count] of the largest, largest first, the lower index first among equals.
void top(const float* logits, int64_t vocab, int64_t count, int64_t* to) {
    std::vector<float> best(count, -__builtin_inff());
    std::fill(to, to + count, 0);
    int64_t held = 0;
    for (int64_t start = 0; start < vocab; start++) {
        if (held == count && !(logits[start] > best[count - 1])) continue;
        int64_t at = held < count ? held++ : count - 1;
        for (; at > 0 && logits[start] > best[at - 1]; at--) best[at] = best[at - 1], to[at] = to[at - 1];
        best[at] = logits[start], to[at] = start;
    }
}

// logits [vocab] -> ln of the sum of their exponentials
float log_sum(const float* logits, int64_t vocab) {
    const int64_t whole = vocab / W * W;
    Vec tops = broadcast(-__builtin_inff()), total{};
    for (int64_t i = 0; i < whole; i += W) tops = max(tops, load(logits + i));
    float top = horizontal_max(tops), rest = 0.0f;
    for (int64_t i = whole; i < vocab; i++) top = std::max(top, logits[i]);
    for (int64_t i = 0; i < whole; i += W) total += exponential(load(logits + i) - top);
    for (int64_t i = whole; i < vocab; i++) rest += std::exp(logits[i] - top);
    return top + std::log(sum(total) + rest);
}

// See `draft`.
void guess_after(
    const Net& net, const Fusion& fusion, const Step& step, const int64_t* before, const int64_t* at, int64_t count,
    int64_t* guesses, float* logprobs, ThreadPool& workers
) {
    Pass pass(net, step, workers, registry().buffers);
    pass.fuse(fusion, before);
    pass.run();
    workers.share(step.wanted, [&](int64_t row) {
        const float* logits = step.logits + row * net.vocab;
        top(logits, net.vocab, count, guesses + row * count);
        const float whole = log_sum(logits, net.vocab);
        for (int64_t i = row * count; i < (row + 1) * count; i++)
            logprobs[i] = std::min(0.0f, logits[guesses[i]] - whole);
        std::copy_n(step.hidden + row * net.width, net.width, fusion.features + at[row] * net.width);
    });
}

// See `draft_on`.
void guess_on(
    const Net& net, const Fusion& fusion, const Step& room, Growing& growing, const int64_t* chosen, int64_t wide,
    int64_t count, int64_t* guesses, float* logprobs, ThreadPool& workers
) {
    const int64_t rows = growing.trees * wide;
    std::vector<int64_t> places(3 * rows);
    int64_t *tokens = places.data(), *before = tokens + rows, *at = before + rows;
    growing.read_on(chosen, wide, tokens, before, at);
    Step step = room;
    step.spans = growing.trees, step.rows = step.wanted = rows, step.nodes = growing.nodes;
    step.span = growing.spans, step.tokens = tokens, step.depths = growing.depths, step.mask = growing.mask;
    guess_after(net, fusion, step, before, at, count, guesses, logprobs, workers);
    growing.append(guesses, logprobs, wide, count);
}

// The same as int8: a group's largest is 127 times its scale.
void put_bytes(const float* row, int64_t in, int8_t* panel, int64_t column) {
    for (int64_t start = 0; start < in; start += GROUP) {
        int8_t* span = panel + Quarter::words(start);
        float most = 0.0f;
        for (int64_t k = 0; row && k < GROUP; k++) most = std::max(most, std::fabs(row[start + k]));
        const float scale = most / 127.0f;
        std::memcpy(span + column * 4, &scale, sizeof scale);
        for (int64_t k = 0; k < GROUP; k++)
            span[Quarter::HEAD + k * COLUMNS + column] = most > 0.0f ? std::lrint(row[start + k] / scale) : 0;
    }
}

// The same as bytes, for rows of int8.
void put_unsigned(const float* row, int64_t in, uint32_t* panel, int64_t column) {
    for (int64_t start = 0; start < in; start += GROUP, panel += Bytes::SPAN) {
        float most = 0.0f;
        for (int64_t k = 0; row && k < GROUP; k++) most = std::max(most, std::fabs(row[start + k]));
        const float scale = most / 127.0f;
        std::memcpy(panel + column, &scale, sizeof scale);
        for (int64_t k = 0; k < GROUP; k++) {
            const int64_t number = most > 0.0f ? std::lrint(row[start + k] / scale) : 0;
            reinterpret_cast<uint8_t*>(panel + (1 + k / 4) * COLUMNS + column)[k % 4] = static_cast<uint8_t>(number + 128);
        }
    }
}

// Numbers of one column of a panel, from a row of the weight [in]; null: zeros.
void put(const float* row, int64_t in, Format format, void* panel, int64_t column) {
    if (format == Format::int8) return put_bytes(row, in, static_cast<int8_t*>(panel), column);
    if (format == Format::bytes) return put_unsigned(row, in, static_cast<uint32_t*>(panel), column);
    for (int64_t k = 0; k < in; k++) {
        const float value = row ? row[k] : 0.0f;
        if (format == Format::fp32) {
            static_cast<float*>(panel)[k * COLUMNS + column] = value;
            continue;
        }
        uint32_t bits;
        std::memcpy(&bits, &value, sizeof bits);
        uint32_t& word = static_cast<uint32_t*>(panel)[k / 2 * COLUMNS + column];
        word = k % 2 == 0 ? bits >> 16 : word | (bits & 0xffff0000u);
    }
}

// See `move`.
template <class KV>
void move_kept_as(
    typename KV::Number* pool, int64_t layers, int64_t blocks, int64_t kv_heads, int64_t depth, int64_t block_size,
    const int64_t* from, const int64_t* to, int64_t count
) {
    std::vector<typename KV::Number> held(count * 2 * depth);
    for (int64_t head = 0; head < layers * kv_heads; head++) {
        const int64_t layer = head / kv_heads, within = (layer * blocks * kv_heads + head % kv_heads) * 2 * depth * block_size;
        const auto keys = [&](int64_t slot) { return pool + within + slot / block_size * kv_heads * 2 * depth * block_size; };
        const auto key = [&](int64_t slot, int64_t d) { return keys(slot) + KV::key_at(d, slot % block_size, block_size); };
        const auto value = [&](int64_t slot, int64_t d) {
            return keys(slot) + depth * block_size + KV::value_at(d, slot % block_size, block_size, depth);
        };
        auto* at = held.data();
        for (int64_t i = 0; i < count; i++) {
            for (int64_t d = 0; d < depth; d++) *at++ = *key(from[i], d), *at++ = *value(from[i], d);
        }
        const auto* back = held.data();
        for (int64_t i = 0; i < count; i++)
            for (int64_t d = 0; d < depth; d++) *key(to[i], d) = *back++, *value(to[i], d) = *back++;
    }
}

}  // namespace

extern "C" {

int64_t step_bytes() { return sizeof(Step); }

// Whether this processor has dot products of bf16.
int64_t multiplies_bf16() { return DOT_PRODUCTS; }

// Whether it has those of int8.
int64_t multiplies_int8() { return BYTE_PRODUCTS; }

// Bytes of a weight [out, in] that was packed.
int64_t packed_bytes(int64_t out, int64_t in, Format format) {
    const int64_t of_numbers = in * COLUMNS * (format == Format::bf16 ? 2 : 4);
    const bool narrow = format == Format::int8 || format == Format::bytes;  // of which both take as many bytes
    return (out + COLUMNS - 1) / COLUMNS * (narrow ? Quarter::words(in) : of_numbers);
}

// weight [out, in] -> panels (see gemm.h), bf16 cut off, int8 rounded; `paired`: its first half are gates, the second
// what they let through.
void pack(const float* weight, int64_t out, int64_t in, int64_t paired, Format format, void* to) {
    const int64_t half = out / 2, panels = paired ? (half + W - 1) / W : (out + COLUMNS - 1) / COLUMNS;
    const int64_t size = packed_bytes(COLUMNS, in, format);
    for (int64_t panel = 0; panel < panels; panel++)
        for (int64_t column = 0; column < COLUMNS; column++) {
            const int64_t within = paired ? panel * W + column % W : panel * COLUMNS + column;
            const bool there = within < (paired ? half : out);
            const float* row = weight + (paired && column >= W ? half + within : within) * in;
            put(there ? row : nullptr, in, format, static_cast<char*>(to) + panel * size, column);
        }
}

void forward(const Net* net, const Step* step, int64_t threads) {
    std::lock_guard<std::mutex> guard(registry().lock);
    ThreadPool& workers = registry().of(static_cast<int>(threads));
    Pass pass(*net, *step, workers, registry().buffers);
    pass.read_tokens();
    pass.run();
}

// EAGLE's layer, a net of one layer, reads a step: rows and the features in slots `before` [rows]. What it makes of the
// wanted rows goes to the slots `at` [wanted] as their features; the `count` best guesses after each and the ln of their
// probabilities go to guesses and logprobs [wanted, count].
void draft(
    const Net* net, const Fusion* fusion, const Step* step, const int64_t* before, const int64_t* at, int64_t count,
    int64_t* guesses, float* logprobs, int64_t threads
) {
    std::lock_guard<std::mutex> guard(registry().lock);
    guess_after(*net, *fusion, *step, before, at, count, guesses, logprobs, registry().of(static_cast<int>(threads)));
}

// The same where candidates chosen [trees, wide] of growing trees are read; what is guessed is appended to them.
void draft_on(
    const Net* net, const Fusion* fusion, const Step* step, Growing* growing, const int64_t* chosen, int64_t wide,
    int64_t count, int64_t* guesses, float* logprobs, int64_t threads
) {
    std::lock_guard<std::mutex> guard(registry().lock);
    ThreadPool& workers = registry().of(static_cast<int>(threads));
    guess_on(*net, *fusion, *step, *growing, chosen, wide, count, guesses, logprobs, workers);
}

// Trees grow from a step that ends with their roots, level after level: of each the widths[level] best are guessed on,
// `count` guesses after each, as long as more than `due` guesses may stand for it. Then the best are kept. The levels
// after the first guesses, and their seconds -> seconds.
int64_t grow(
    const Net* net, const Fusion* fusion, const Step* step, const int64_t* before, Growing* growing,
    const int64_t* widths, int64_t levels, int64_t count, int64_t size, double due, const KeptTrees* kept,
    double* seconds, int64_t threads
) {
    std::lock_guard<std::mutex> guard(registry().lock);
    ThreadPool& workers = registry().of(static_cast<int>(threads));
    const int64_t trees = growing->trees, widest = levels > 0 ? *std::max_element(widths, widths + levels) : 1;
    std::vector<int64_t> roots(trees), at(trees), chosen(trees * widest), guesses(trees * widest * count);
    std::vector<float> logs(trees * widest * count);
    for (int64_t tree = 0, row = 0; tree < trees; tree++) {
        row += step->span[tree].rows;
        roots[tree] = step->tokens[row - 1];
        at[tree] = growing->slots[tree * growing->nodes];
    }
    guess_after(*net, *fusion, *step, before, at.data(), count, guesses.data(), logs.data(), workers);
    growing->append(guesses.data(), logs.data(), 1, count);
    const auto began = std::chrono::steady_clock::now();
    int64_t grown = 0;
    for (int64_t first = 0; grown < levels; grown++) {
        int64_t wide = std::min(widths[grown], growing->found - first);
        for (int64_t tree = 0; tree < trees; tree++) growing->highest(tree, first, wide, chosen.data() + tree * wide);
        if (growing->found >= size - 1) {
            int64_t useful = 0;
            if (growing->gain(chosen.data(), wide, size - 1, &useful) <= due || useful == 0) break;
            for (int64_t tree = 0; tree < trees; tree++)
                std::copy_n(chosen.data() + tree * wide, useful, chosen.data() + tree * useful);
            wide = useful;
        }
        first = growing->found;
        guess_on(*net, *fusion, *step, *growing, chosen.data(), wide, count, guesses.data(), logs.data(), workers);
    }
    *seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
    growing->keep(roots.data(), size, *kept);
    return grown;
}

// KV of slots from [count] -> slots to [count], [2, D] a layer and head, all at once: every source is read before
// any target is written.
void move(
    void* pool, Format kept, int64_t layers, int64_t blocks, int64_t kv_heads, int64_t depth, int64_t block_size,
    const int64_t* from, const int64_t* to, int64_t count
) {
    if (kept == Format::bf16)
        move_kept_as<HalfKV>(
            static_cast<uint16_t*>(pool), layers, blocks, kv_heads, depth, block_size, from, to, count
        );
    else
        move_kept_as<WholeKV>(static_cast<float*>(pool), layers, blocks, kv_heads, depth, block_size, from, to, count);
}

// hidden [rows, width] -> the `wanted` best guesses of each head, int64 [rows, count, wanted].
void guess(const Heads* heads, const float* hidden, int64_t rows, int64_t wanted, int64_t* to, int64_t threads) {
    std::lock_guard<std::mutex> guard(registry().lock);
    ThreadPool& workers = registry().of(static_cast<int>(threads));
    const int64_t width = heads->width, wide = heads->count * width, vocab = heads->vocab;
    float* states = registry().buffers[0].get(rows * wide);
    float* logits = registry().buffers[1].get(rows * heads->count * vocab);
    multiply_shared(workers, {hidden, width, {heads->blocks, width, wide}, states, wide, nullptr, Epilogue::write}, rows);
    workers.share(rows * heads->count, [&](int64_t unit) {
        const int64_t row = unit / heads->count;
        float* state = states + row * wide + unit % heads->count * width;
        for (int64_t i = 0; i < width; i += W) {
            if (i + W <= width) store(state + i, silu(load(state + i)) + load(hidden + row * width + i));
            else for (int64_t j = i; j < width; j++) state[j] = silu(broadcast(state[j]))[0] + hidden[row * width + j];
        }
    });
    for (int64_t head = 0; head < heads->count; head++)
        multiply_shared(
            workers,
            {states + head * width, wide, {heads->projections[head], width, vocab}, logits + head * vocab,
             heads->count * vocab, nullptr, Epilogue::write},
            rows
        );
    workers.share(rows * heads->count, [&](int64_t unit) {
        top(logits + unit * vocab, vocab, wanted, to + unit * wanted);
    });
}

// As many operations as `threads` cores do at most, `rounds` of them each; how many it were.
int64_t compute_limit(int64_t rounds, int64_t threads) {
    std::lock_guard<std::mutex> guard(registry().lock);
    registry().of(static_cast<int>(threads)).share(threads, [&](int64_t) { unread = multiply_adds(rounds); });
    return 2 * W * CHAINS * rounds * threads;
}

// Each of `threads` cores reads its share of `count` numbers, `times` times; how many were read.
int64_t read_limit(const float* from, int64_t count, int64_t times, int64_t threads) {
    std::lock_guard<std::mutex> guard(registry().lock);
    const int64_t part = count / threads / (8 * W) * (8 * W);
    registry().of(static_cast<int>(threads)).share(threads, [&](int64_t unit) {
        for (int64_t i = 0; i < times; i++) unread = read_numbers(from + unit * part, part);
    });
    return part * threads * times;
}

}  // extern "C"
