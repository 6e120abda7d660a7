// Trees of guesses while they grow, as `GrowingTrees` of growing_trees.py holds them. A candidate was guessed; a node was
// read by the layer as well. Node 0, the root, is the last known token, and no candidate.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <vector>

#include "span.h"

// What a tree is made of, [B, size] and [B, size, size]: `DraftTree` of slots.py.
struct KeptTrees {
    int64_t *token, *parent, *depth;
    uint8_t* mask;
};

struct Growing {
    int64_t trees, nodes, most;                 // B; room for nodes and for candidates of a tree
    const int64_t* slots;                       // [B, nodes]
    int32_t* depths;                            // [B, nodes]
    uint8_t* mask;                              // [B, nodes, nodes]
    int64_t* origin;                            // [B, nodes]: which candidate a node was; -1: the root
    Span* spans;                                // [B]
    const int32_t* starts;                      // [B]: places of the roots
    int64_t *token, *node;                      // [B, most]: node that a candidate was guessed after
    float* value;                               // [B, most]: ln of the probability of the path to it
    int64_t read, found;                        // nodes and candidates so far

    // Candidates chosen [B, wide] become nodes; what the layer reads of them -> tokens, before, at [B * wide].
    void read_on(const int64_t* chosen, int64_t wide, int64_t* tokens, int64_t* before, int64_t* at) {
        for (int64_t tree = 0; tree < trees; tree++) {
            for (int64_t i = 0; i < wide; i++) {
                const int64_t row = tree * wide + i, candidate = tree * most + chosen[row];
                const int64_t above = tree * nodes + node[candidate], fresh = tree * nodes + read + i;
                depths[fresh] = depths[above] + 1;
                origin[fresh] = chosen[row];
                std::copy_n(mask + above * nodes, nodes, mask + fresh * nodes);
                mask[fresh * nodes + read + i] = 1;
                tokens[row] = token[candidate];
                before[row] = slots[above];
                at[row] = slots[fresh];
            }
            Span& span = spans[tree];
            span.start = starts[tree] + static_cast<int32_t>(read);
            span.rows = span.wanted = static_cast<int32_t>(wide);
            span.tree = static_cast<int32_t>(read + wide);
        }
        read += wide;
    }

    // Guesses and logs [B, wide, count] after the nodes that were read last become candidates.
    void append(const int64_t* guesses, const float* logs, int64_t wide, int64_t count) {
        for (int64_t row = 0; row < trees * wide; row++) {
            const int64_t tree = row / wide, from = read - wide + row % wide, above = origin[tree * nodes + from];
            const float so_far = above < 0 ? 0.0f : value[tree * most + above];
            for (int64_t k = 0; k < count; k++) {
                const int64_t candidate = tree * most + found + row % wide * count + k;
                token[candidate] = guesses[row * count + k];
                node[candidate] = from;
                value[candidate] = so_far + logs[row * count + k];
            }
        }
        found += wide * count;
    }

    // Of a tree's candidates from `first` on, the `wide` of the highest value, the highest first, of equal ones the
    // lower -> chosen [wide].
    void highest(int64_t tree, int64_t first, int64_t wide, int64_t* chosen) const {
        std::vector<int64_t> order(found - first);
        std::iota(order.begin(), order.end(), first);
        const float* values = value + tree * most;
        std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return values[a] > values[b]; });
        std::copy_n(order.begin(), wide, chosen);
    }

    // How many guesses more stand at most, as far as is known, if those after chosen [B, wide] grow: each may push out
    // one of the `kept` best of today, the worst first. All trees together. useful: how many of a tree's chosen, which
    // are sorted, are above its worst: what follows the others is never kept.
    double gain(const int64_t* chosen, int64_t wide, int64_t kept, int64_t* useful) const {
        std::vector<int64_t> best(kept);
        double total = 0.0;
        *useful = 0;
        for (int64_t tree = 0; tree < trees; tree++) {
            const float* values = value + tree * most;
            highest(tree, 0, kept, best.data());
            for (int64_t i = 0; i < wide && values[chosen[tree * wide + i]] > values[best[kept - 1]]; i++) {
                *useful = std::max(*useful, i + 1);
                if (i >= kept) continue;
                const double gained = values[chosen[tree * wide + i]], lost = values[best[kept - 1 - i]];
                total += std::max(0.0, std::exp(gained) - std::exp(lost));
            }
        }
        return total;
    }

    // The root and the size - 1 best candidates of every tree, in order of creation, which is that of their depth.
    void keep(const int64_t* roots, int64_t size, const KeptTrees& to) const {
        std::vector<int64_t> best(size - 1), number(found);
        for (int64_t tree = 0; tree < trees; tree++) {
            highest(tree, 0, size - 1, best.data());
            std::sort(best.begin(), best.end());
            uint8_t* const mask_to = to.mask + tree * size * size;
            std::fill_n(mask_to, size * size, 0);
            for (int64_t i = 0; i < size; i++) {
                const int64_t at = tree * size + i, candidate = i > 0 ? best[i - 1] : -1;
                mask_to[i * size + i] = 1;
                if (i == 0) {
                    to.token[at] = roots[tree], to.parent[at] = -1, to.depth[at] = 0;
                    continue;
                }
                const int64_t above = origin[tree * nodes + node[tree * most + candidate]];
                const int64_t parent = above < 0 ? 0 : number[above];
                number[candidate] = i;
                to.token[at] = token[tree * most + candidate];
                to.parent[at] = parent;
                to.depth[at] = to.depth[tree * size + parent] + 1;
                for (int64_t j = 0; j < i; j++) mask_to[i * size + j] |= mask_to[parent * size + j];
            }
        }
    }
};
