// SPDX-License-Identifier: Apache-2.0
// The attention of span_attention.h as its formula reads: in double, one
// distance after the other, with no staging, no blocks and no tiles.
#pragma once

#include <vector>

#include "engine/kernels/cache_append.h"
#include "engine/kernels/span_attention.h"

namespace spanlm::kernels {

// [rows, heads, head_dim]. `key` and `key_row_stride` are those of the step's
// CacheAppendArgs: the rows' keys are read as they came, not as staged.
std::vector<double> SpanAttentionReference(const SpanAttentionArgs& args,
                                           const float* key,
                                           int64_t key_row_stride);

}  // namespace spanlm::kernels
