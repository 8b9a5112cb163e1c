// SPDX-License-Identifier: Apache-2.0
// What can be said of a model without running it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/checkpoint/model_dir.h"
#include "engine/model_config.h"
#include "engine/tensor_view.h"

namespace spanlm {

// A session's state in the engine, by the format of its keys and values. int8
// has a float scale for every key and every value.
struct SessionBytes {
  int64_t fp32 = 0;
  int64_t bf16 = 0;
  int64_t int8 = 0;
};

struct ModelFacts {
  // The published program whose formula this is: "original" or "fairseq" for
  // Adaptive Span (renormalised or not), "kimiyoung" or "huggingface" for
  // Transformer-XL (memory that starts empty or as zeros).
  std::string semantics;
  int64_t receptive_field_bytes = 0;  // 1 + Σ of the layers' windows
  // [n_layer][n_head]; spans as learned, positions without the ramp, empty for
  // Transformer-XL; reaches: furthest distance attended to, by the formula (a
  // mask template stored in half precision ends up to 2 positions off it, and
  // the engine's reaches with it).
  std::vector<std::vector<float>> spans;
  std::vector<std::vector<int32_t>> reaches;
  std::vector<int32_t> layer_windows;  // [n_layer], positions
  SessionBytes session_bytes;
};

// Derives the facts from a model's config and its spans. kNotFound or kDataLoss
// names a tensor of `weights`.
absl::StatusOr<ModelFacts> FactsOf(const ModelConfig& config,
                                   const TensorSource& weights);

// Spans, reaches and window for people, one line a layer.
std::string FormatSpans(const ModelFacts& facts);

}  // namespace spanlm
