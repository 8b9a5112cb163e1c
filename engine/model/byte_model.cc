// SPDX-License-Identifier: Apache-2.0
#include "engine/model/byte_model.h"

#include <ATen/Functions.h>

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "engine/model/adaptive_span.h"
#include "engine/model/transformer_xl.h"

namespace spanlm {
namespace {

// A stranger's config may ask for any length.
constexpr int64_t kMaxMemoryBytes = int64_t{1} << 32;

// Whether what each row remembers between blocks keeps to the bound.
absl::Status CheckMemory(const ByteModel& model) {
  const ModelConfig& config = model.config();
  int64_t positions = int64_t{config->n_layer} * config->mem_len;
  for (const LayerWindow& layer : model.windows()) {
    positions += layer.cache_rows;
  }
  const int64_t bytes =
      positions * config->d_model * static_cast<int64_t>(sizeof(float));
  if (bytes <= kMaxMemoryBytes) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrCat("this model's memory of a text takes ", bytes,
                   " bytes, want at most ", kMaxMemoryBytes));
}

}  // namespace

int64_t ByteModel::parameter_count() const {
  int64_t count = 0;
  for (const NamedTensor& parameter : parameters_) {
    count += parameter.tensor.numel();
  }
  return count;
}

ModelMemory ByteModel::NewMemory(int64_t rows, const PassOptions& pass) const {
  const at::Tensor& like = parameters_.front().tensor;
  ModelMemory memory;
  for (int32_t layer = 0; layer < config_->n_layer; ++layer) {
    memory.layers.push_back(at::zeros(
        {rows, 0, config_->d_model},
        like.options().dtype(ComputeType(like, pass)).requires_grad(false)));
  }
  return memory;
}

at::Tensor ByteModel::AddParameter(std::string name, at::IntArrayRef shape,
                                   at::ScalarType type) {
  at::Tensor tensor = at::zeros(shape, at::TensorOptions().dtype(type));
  tensor.set_requires_grad(true);
  parameters_.push_back({std::move(name), tensor});
  return tensor;
}

at::Tensor ByteModel::AddBuffer(std::string name, at::Tensor value) {
  buffers_.push_back({std::move(name), value});
  return value;
}

std::unique_ptr<ByteModel> NewByteModel(const ModelConfig& config,
                                        at::ScalarType type,
                                        const TensorSource* source) {
  if (config->architecture == Architecture::kAdaptiveSpan) {
    return std::make_unique<AdaptiveSpan>(config, type);
  }
  return std::make_unique<TransformerXl>(
      config, type, source != nullptr && TransformerXl::HasOutput(*source));
}

absl::StatusOr<std::unique_ptr<ByteModel>> LoadByteModel(
    const ModelConfig& config, const TensorSource& source,
    at::ScalarType type) {
  std::unique_ptr<ByteModel> model = NewByteModel(config, type, &source);
  SPANLM_RETURN_IF_ERROR(model->Load(source));
  SPANLM_RETURN_IF_ERROR(CheckMemory(*model));
  return model;
}

}  // namespace spanlm
