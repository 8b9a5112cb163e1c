// SPDX-License-Identifier: Apache-2.0
// A model's tensors as the published programs hold them: float32, complete.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/checkpoint/model_dir.h"
#include "engine/model_config.h"

namespace spanlm {

struct FloatTensor {
  std::string name;
  std::vector<int64_t> shape;
  std::vector<float> values;  // C order
  bool is_buffer = false;     // stored, not learned
};

// All tensors of `model` in the order of model_tensors.h. Half precision is
// widened, which is exact; double precision is rounded. Buffers that the model
// does not store are made from its config; an output weight that it does not
// store, because it is tied, stays away. kNotFound or kInvalidArgument cannot
// come from a checked directory.
absl::StatusOr<std::vector<FloatTensor>> ReadFloatTensors(
    const ModelDir& model);

// The tensor of that name; nullptr: none.
const FloatTensor* FindTensor(absl::Span<const FloatTensor> tensors,
                              absl::string_view name);

// Replaces Transformer-XL's one pair of biases, if that is what it has, by a
// copy for every layer: the same function, as the programs write it that know
// no shared pair.
void RepeatBiases(const ModelConfig& config, std::vector<FloatTensor>* tensors);

}  // namespace spanlm
