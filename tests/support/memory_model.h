// SPDX-License-Identifier: Apache-2.0
// Models that live in memory: no file, random weights of sensible size.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "engine/checkpoint/safetensors.h"
#include "engine/model_config.h"
#include "engine/tensor_view.h"

namespace spanlm {

class MemoryTensors : public TensorSource {
 public:
  MemoryTensors() = default;
  explicit MemoryTensors(std::vector<TensorData> tensors);

  absl::StatusOr<TensorView> Find(absl::string_view name) const override;
  std::vector<std::string> names() const override;

  // Adds or replaces a float32 tensor.
  void Set(const std::string& name, std::vector<int64_t> shape,
           const std::vector<float>& values);
  void Remove(const std::string& name) { tensors_.erase(name); }
  // The values of a tensor that is there.
  std::vector<float> Get(const std::string& name) const;

 private:
  std::map<std::string, TensorData> tensors_;
};

struct MemoryModel {
  ModelConfig config;
  MemoryTensors tensors;
};

// Two layers, d_model 32, two heads, 40 symbols; attn_span 128.
ModelFields SmallAdaptiveSpan();
// The same widths; mem_len 50, no clamp.
ModelFields SmallTransformerXl();

// `fields` must be valid. Adaptive Span's heads get the given spans, fractions
// of attn_span, repeated as often as needed.
MemoryModel RandomModel(const ModelFields& fields,
                        const std::vector<float>& spans, uint32_t seed);

// Gives a Transformer-XL an output weight that is not its embedding.
void UntieOutput(uint32_t seed, MemoryModel* model);

// `count` symbols below `vocab_size`.
std::vector<uint16_t> RandomSymbols(int64_t count, int32_t vocab_size,
                                    uint32_t seed);

}  // namespace spanlm
