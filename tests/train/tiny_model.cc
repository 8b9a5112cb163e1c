// SPDX-License-Identifier: Apache-2.0
#include "tests/train/tiny_model.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/Tensor.h>
#include <c10/core/InferenceMode.h>

#include <memory>
#include <utility>

#include "absl/strings/match.h"
#include "base/status_macros.h"
#include "engine/model/byte_model.h"

namespace spanlm {
namespace {

TensorData ToData(const NamedTensor& named) {
  const at::Tensor tensor = named.tensor.detach().contiguous();
  TensorData data;
  data.name = named.name;
  data.shape.assign(tensor.sizes().begin(), tensor.sizes().end());
  data.bytes.assign(static_cast<const char*>(tensor.data_ptr()),
                    tensor.nbytes());
  return data;
}

ModelFields Tiny() {
  ModelFields fields;
  fields.n_layer = 2;
  fields.d_model = 16;
  fields.n_head = 2;
  fields.d_head = 8;
  fields.d_inner = 24;
  fields.vocab_size = 256;
  fields.symbols = AllBytes();
  return fields;
}

}  // namespace

ModelFields TinyAdaptiveSpan() {
  ModelFields fields = Tiny();
  fields.architecture = Architecture::kAdaptiveSpan;
  fields.attn_span = 128;
  return fields;
}

ModelFields TinyTransformerXl() {
  ModelFields fields = Tiny();
  fields.architecture = Architecture::kTransformerXl;
  fields.mem_len = 24;
  return fields;
}

absl::Status WriteTinyModel(const ModelFields& fields, uint64_t seed,
                            const std::string& path) {
  SPANLM_ASSIGN_OR_RETURN(const ModelConfig config,
                          ModelConfig::Create(fields));
  const std::unique_ptr<ByteModel> model = NewByteModel(config);
  model->Initialize(Initialization::kOriginal,
                    at::make_generator<at::CPUGeneratorImpl>(seed));
  ModelContents contents;
  contents.fields = fields;
  for (const NamedTensor& parameter : model->parameters()) {
    if (absl::EndsWith(parameter.name, "current_val")) {
      at::Tensor spans = parameter.tensor.detach().flatten();
      spans[0].fill_(0.05);
      if (spans.numel() > 1) spans[1].fill_(0.3);
    }
    contents.tensors.push_back(ToData(parameter));
  }
  for (const NamedTensor& buffer : model->buffers()) {
    contents.tensors.push_back(ToData(buffer));
  }
  return WriteModelDir(path, std::move(contents));
}

}  // namespace spanlm
