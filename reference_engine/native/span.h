// The rows of one request in a step: `batch.Span`, and `LayerRows.spans` of layer_rows.py.
#pragma once

#include <cstdint>

struct Span {
    int32_t seat, start, rows, wanted, tree, first;  // first: node of the step that is its tree's node 0
};
