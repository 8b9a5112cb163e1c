// SPDX-License-Identifier: Apache-2.0
// A model's weights in the order in which a step reads them.
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "engine/model_config.h"
#include "engine/step/aligned_floats.h"
#include "engine/step/model_tables.h"
#include "engine/tensor_view.h"

namespace spanlm {

// A linear map packed for kernels::PackedLinearCpu.
struct PackedMap {
  AlignedFloats weights;
  std::vector<float> bias;  // [outputs]; empty: none
  int32_t inputs = 0;
  int32_t outputs = 0;
};

struct NormWeights {
  std::vector<float> weight;  // [d_model]
  std::vector<float> bias;    // [d_model]
};

// Post-norm: a = attention(x); y = norm1(x + a); x' = norm2(y + ff(y)).
struct PackedLayer {
  PackedMap query_key_value;  // d_model to 3 d_model, no bias
  PackedMap attention_out;    // d_model to d_model, no bias
  NormWeights norm1;
  PackedMap inner;  // d_model to d_inner, then ReLU
  PackedMap outer;  // d_inner to d_model
  NormWeights norm2;
};

// Both architectures, float32. Immutable after Create; movable.
class PackedModel {
 public:
  // Errors as MakeModelTables gives them.
  static absl::StatusOr<PackedModel> Create(const ModelConfig& config,
                                            const TensorSource& tensors,
                                            const TableLimits& limits = {});

  const ModelConfig& config() const { return config_; }
  const ModelTables& tables() const { return tables_; }
  const std::vector<PackedLayer>& layers() const { return layers_; }
  // A symbol's row of the embedding, scaled as the model wants. [d_model]
  const float* embedding(uint16_t symbol) const {
    return embedding_.data() + int64_t{symbol} * config_->d_model;
  }
  const PackedMap& logits() const { return logits_; }

 private:
  PackedModel(ModelConfig config, ModelTables tables)
      : config_(std::move(config)), tables_(std::move(tables)) {}

  ModelConfig config_;
  ModelTables tables_;
  std::vector<float> embedding_;  // [vocab_size, d_model]
  std::vector<PackedLayer> layers_;
  PackedMap logits_;  // d_model to vocab_size
};

}  // namespace spanlm
