// SPDX-License-Identifier: Apache-2.0
#include "tests/engine/checkpoint/tiny_contents.h"

#include <cstring>

#include "engine/checkpoint/model_tensors.h"

namespace spanlm {
namespace {

ModelFields Tiny() {
  ModelFields fields;
  fields.n_layer = 2;
  fields.d_model = 4;
  fields.n_head = 2;
  fields.d_head = 2;
  fields.d_inner = 3;
  fields.vocab_size = 4;
  return fields;
}

TensorData TensorOf(const TensorSpec& spec, float* next) {
  TensorData tensor;
  tensor.name = spec.name;
  tensor.shape = spec.shape;
  tensor.bytes.resize(tensor.view().element_count() * sizeof(float));
  for (size_t i = 0; i < tensor.bytes.size(); i += sizeof(float)) {
    *next += 0.03125F;
    std::memcpy(tensor.bytes.data() + i, next, sizeof(float));
  }
  return tensor;
}

}  // namespace

ModelFields TinyAdaptiveSpanFields() {
  ModelFields fields = Tiny();
  fields.attn_span = 8;
  fields.block_rounding = 4;
  fields.ramp = 2;
  return fields;
}

ModelFields TinyTransformerXlFields() {
  ModelFields fields = Tiny();
  fields.architecture = Architecture::kTransformerXl;
  fields.mem_len = 6;
  return fields;
}

std::vector<TensorData> TinyTensors(const ModelFields& fields) {
  std::vector<TensorData> tensors;
  float next = -4;
  for (const TensorSpec& spec : TensorsOf(*ModelConfig::Create(fields))) {
    tensors.push_back(TensorOf(spec, &next));
  }
  return tensors;
}

ModelContents TinyContents(const ModelFields& fields) {
  ModelContents contents;
  contents.fields = fields;
  float next = -4;
  for (const TensorSpec& spec : TensorsOf(*ModelConfig::Create(fields))) {
    if (!spec.is_optional) contents.tensors.push_back(TensorOf(spec, &next));
  }
  return contents;
}

}  // namespace spanlm
