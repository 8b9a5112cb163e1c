// SPDX-License-Identifier: Apache-2.0
#include "tests/support/memory_model.h"

#include <cmath>
#include <cstring>
#include <random>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "engine/checkpoint/model_tensors.h"

namespace spanlm {
namespace {

// Weights that keep activations near one and make symbols matter.
std::vector<float> RandomTensor(const TensorSpec& spec, std::mt19937* random) {
  int64_t count = 1;
  for (const int64_t size : spec.shape) count *= size;
  float mean = 0;
  float deviation = 1;
  if (absl::StrContains(spec.name, "norm") &&
      absl::EndsWith(spec.name, "weight")) {
    mean = 1;
    deviation = 0.2F;
  } else if (absl::EndsWith(spec.name, "bias")) {
    deviation = 0.3F;
  } else if (spec.shape.size() == 2 && !absl::StrContains(spec.name, "emb.")) {
    deviation = 1.4F / std::sqrt(static_cast<float>(spec.shape[1]));
  } else if (absl::StrContains(spec.name, "word_emb")) {
    deviation = 1 / std::sqrt(static_cast<float>(spec.shape[1]));
  }
  std::normal_distribution<float> normal(mean, deviation);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& v : values) v = normal(*random);
  return values;
}

ModelFields SmallWidths() {
  ModelFields fields;
  fields.n_layer = 2;
  fields.d_model = 32;
  fields.n_head = 2;
  fields.d_head = 16;
  fields.d_inner = 48;
  fields.vocab_size = 40;
  return fields;
}

}  // namespace

MemoryTensors::MemoryTensors(std::vector<TensorData> tensors) {
  for (TensorData& tensor : tensors) {
    const std::string name = tensor.name;
    tensors_[name] = std::move(tensor);
  }
}

absl::StatusOr<TensorView> MemoryTensors::Find(absl::string_view name) const {
  const auto found = tensors_.find(std::string(name));
  if (found == tensors_.end()) {
    return absl::NotFoundError(absl::StrCat("memory: no tensor ", name));
  }
  return found->second.view();
}

std::vector<std::string> MemoryTensors::names() const {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : tensors_) names.push_back(name);
  return names;
}

void MemoryTensors::Set(const std::string& name, std::vector<int64_t> shape,
                        const std::vector<float>& values) {
  TensorData tensor;
  tensor.name = name;
  tensor.shape = std::move(shape);
  tensor.bytes.resize(values.size() * sizeof(float));
  std::memcpy(tensor.bytes.data(), values.data(), tensor.bytes.size());
  tensors_[name] = std::move(tensor);
}

std::vector<float> MemoryTensors::Get(const std::string& name) const {
  const absl::StatusOr<TensorView> view = Find(name);
  SPANLM_CHECK(view.ok());
  return *ToFloats(*view);
}

ModelFields SmallAdaptiveSpan() {
  ModelFields fields = SmallWidths();
  fields.architecture = Architecture::kAdaptiveSpan;
  fields.attn_span = 128;
  return fields;
}

ModelFields SmallTransformerXl() {
  ModelFields fields = SmallWidths();
  fields.architecture = Architecture::kTransformerXl;
  fields.mem_len = 50;
  return fields;
}

MemoryModel RandomModel(const ModelFields& fields,
                        const std::vector<float>& spans, uint32_t seed) {
  absl::StatusOr<ModelConfig> config = ModelConfig::Create(fields);
  SPANLM_CHECK(config.ok());
  MemoryModel model{*config, MemoryTensors()};
  std::mt19937 random(seed);
  size_t head = 0;
  for (const TensorSpec& spec : TensorsOf(*config)) {
    if (spec.is_optional) continue;
    std::vector<float> values = RandomTensor(spec, &random);
    if (absl::EndsWith(spec.name, "current_val")) {
      for (float& z : values) z = spans[head++ % spans.size()];
    }
    model.tensors.Set(spec.name, spec.shape, values);
  }
  return model;
}

void UntieOutput(uint32_t seed, MemoryModel* model) {
  const int64_t vocab = model->config->vocab_size;
  const int64_t d = model->config->d_model;
  const TensorSpec spec = {"crit.out_layers.0.weight", {vocab, d}};
  std::mt19937 random(seed);
  model->tensors.Set(spec.name, spec.shape, RandomTensor(spec, &random));
}

std::vector<uint16_t> RandomSymbols(int64_t count, int32_t vocab_size,
                                    uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<uint16_t> symbols;
  for (int64_t i = 0; i < count; ++i) {
    symbols.push_back(static_cast<uint16_t>(random() % vocab_size));
  }
  return symbols;
}

}  // namespace spanlm
