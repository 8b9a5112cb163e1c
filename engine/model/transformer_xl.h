// SPDX-License-Identifier: Apache-2.0
// Transformer-XL in block form (Dai et al. 2019; docs/model.md,
// "Transformer-XL").
#pragma once

#include <string>
#include <vector>

#include "engine/model/byte_model.h"

namespace spanlm {

// The vectors of distances count − 1 … 0, each capped at `clamp_len` unless
// that is negative: sines of every frequency, then cosines.
// `frequencies` [d_model / 2] to [count, d_model].
at::Tensor DistanceTable(int64_t count, int64_t clamp_len,
                         const at::Tensor& frequencies);

// What query i of a block does not see of `memory_rows + block` keys, bool
// [block, memory_rows + block].
at::Tensor HiddenKeys(int64_t block, int64_t memory_rows, int64_t mem_len,
                      bool same_length);

// See ByteModel.
class TransformerXl : public ByteModel {
 public:
  // `has_output`: the output's weight is not the embedding.
  TransformerXl(const ModelConfig& config, at::ScalarType type,
                bool has_output);
  // Whether a model's tensors hold such a weight.
  static bool HasOutput(const TensorSource& source);

  absl::Status Load(const TensorSource& source) override;
  void Initialize(Initialization initialization,
                  at::Generator generator) override;
  ModelMemory NewMemory(int64_t rows, const PassOptions& pass) const override;
  at::Tensor Forward(const at::Tensor& tokens, const PassOptions& pass,
                     ModelMemory* memory) const override;

 private:
  struct Layer {
    at::Tensor qkv;                          // [3 * d_model, d_model]
    at::Tensor relative, out;                // [d_model, d_model]
    at::Tensor content_bias, position_bias;  // [n_head, d_head]: u and v
    Norm attention_norm, ff_norm;
    FeedForward ff;
  };

  void AddLayer(const std::string& prefix, at::ScalarType type);
  at::Tensor Attend(const Layer& layer, const at::Tensor& context,
                    const at::Tensor& table, const at::Tensor& hidden,
                    const PassOptions& pass) const;

  at::Tensor embedding_;    // [vocab_size, d_model]
  at::Tensor out_weight_;   // [vocab_size, d_model]; undefined: the embedding
  at::Tensor out_bias_;     // [vocab_size]
  at::Tensor frequencies_;  // [d_model / 2]
  std::vector<Layer> layers_;
};

}  // namespace spanlm
