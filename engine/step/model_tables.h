// SPDX-License-Identifier: Apache-2.0
// What attention reads besides queries, keys and values: masks, reaches, rings
// and keys of distances, made once at load (docs/model.md).
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/kernels/cache_view.h"
#include "engine/model_config.h"
#include "engine/step/aligned_floats.h"
#include "engine/tensor_view.h"

namespace spanlm {

// Keys of distances in the layout of kernels::SpanAttentionArgs.
struct PositionTable {
  AlignedFloats keys;       // [heads or 1, columns / kBlock, head_dim, kBlock]
  int32_t columns = 0;      // whole blocks
  int32_t reach = 0;        // larger distances read this one's key
  int64_t head_stride = 0;  // floats; 0: all heads share the table
};

// One layer's tables.
struct LayerTables {
  std::vector<kernels::HeadSpan> heads;  // offsets from the slot's beginning
  std::vector<int32_t> head_order;       // longest reach first
  int64_t head_positions = 0;            // sum of the heads' windows
  int32_t window = 0;        // L' of Adaptive Span, mem_len − 1: positions
  std::vector<float> spans;  // [heads] learned, positions; empty: none learned
  // kBlock zeros, then for each head mask_columns entries, by falling distance,
  // and kBlock zeros; empty: no mask.
  std::vector<float> mask;
  int32_t mask_columns = 0;
  std::vector<float> content_bias;   // [heads, head_dim]; empty: none
  std::vector<float> position_bias;  // [heads, head_dim]; empty: none
};

// The whole model's. Immutable after Create; movable.
struct ModelTables {
  std::vector<LayerTables> layers;
  std::vector<PositionTable> positions;  // one for all layers, or one for each
  int64_t slot_floats = 0;               // of a cache
  int32_t min_distance = 0;
  bool renormalize = true;
  bool empty_start = false;
  float scale = 1;

  const PositionTable& positions_of(size_t layer) const {
    return positions[positions.size() == 1 ? 0 : layer];
  }
};

// What one cache, and all tables together, may take.
struct TableLimits {
  int64_t state_budget_bytes = std::numeric_limits<int64_t>::max();
  int64_t table_bytes = int64_t{1} << 32;
};

// Spans come from the stored mask template where there is one, so that
// fairseq's half-precision masks keep their rounding. kNotFound names a missing
// tensor; kDataLoss one that is misshapen or holds a number that is not finite;
// kFailedPrecondition: a Transformer-XL whose window depends on the block
// (same_length false), naming how to import it; kResourceExhausted, with both
// sizes and before they are made: a cache or tables past the limits.
absl::StatusOr<ModelTables> MakeModelTables(const ModelConfig& config,
                                            const TensorSource& tensors,
                                            const TableLimits& limits = {});

// A tensor's elements after a check of their number and that each is finite.
// kNotFound or kDataLoss names the tensor.
absl::StatusOr<std::vector<float>> LoadFloats(const TensorSource& tensors,
                                              const std::string& name,
                                              int64_t elements);

}  // namespace spanlm
