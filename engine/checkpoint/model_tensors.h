// SPDX-License-Identifier: Apache-2.0
// The tensors that make up a model, by the names that model.safetensors holds
// (docs/model-directory.md).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/model_config.h"
#include "engine/tensor_view.h"

namespace spanlm {

// A tensor that an architecture has. Buffers are stored but not learned; what
// is optional may be absent: buffers, which then follow from the config, and an
// output weight that is tied to the embedding.
struct TensorSpec {
  std::string name;
  std::vector<int64_t> shape;
  bool is_buffer = false;
  bool is_optional = false;
};

// In the order in which model.safetensors holds them.
std::vector<TensorSpec> TensorsOf(const ModelConfig& config);

// Elements of all parameters; an optional one counts where it is stored.
// kDataLoss names a tensor that is missing, misshapen, not of a floating type
// or not part of the architecture.
absl::StatusOr<int64_t> CountParameters(const ModelConfig& config,
                                        absl::Span<const TensorView> tensors);

}  // namespace spanlm
