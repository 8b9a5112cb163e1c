// SPDX-License-Identifier: Apache-2.0
#include "engine/checkpoint/export/float_tensors.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "engine/checkpoint/model_tensors.h"

namespace spanlm {
namespace {

// The values that a buffer has where no half-precision run has rounded it
// (docs/model.md): 1 − S … 0, or 10000^(−2i/d).
std::vector<float> BornBuffer(const ModelConfig& config,
                              const TensorSpec& spec) {
  const int64_t size = spec.shape[0];
  const bool is_mask = absl::EndsWith(spec.name, "mask_template");
  std::vector<float> values;
  for (int64_t i = 0; i < size; ++i) {
    values.push_back(
        is_mask ? static_cast<float>(i + 1 - size)
                : static_cast<float>(
                      1 / std::pow(10000.0, 2.0 * i / config->d_model)));
  }
  return values;
}

}  // namespace

absl::StatusOr<std::vector<FloatTensor>> ReadFloatTensors(
    const ModelDir& model) {
  std::vector<FloatTensor> tensors;
  for (const TensorSpec& spec : TensorsOf(model.config())) {
    FloatTensor tensor{spec.name, spec.shape, {}, spec.is_buffer};
    const absl::StatusOr<TensorView> view = model.Find(spec.name);
    if (view.ok()) {
      SPANLM_ASSIGN_OR_RETURN(tensor.values, ToFloats(*view));
    } else if (spec.is_buffer) {
      tensor.values = BornBuffer(model.config(), spec);
    } else if (spec.is_optional) {
      continue;
    } else {
      return view.status();
    }
    tensors.push_back(std::move(tensor));
  }
  return tensors;
}

const FloatTensor* FindTensor(absl::Span<const FloatTensor> tensors,
                              absl::string_view name) {
  const auto found =
      std::find_if(tensors.begin(), tensors.end(),
                   [&](const FloatTensor& t) { return t.name == name; });
  return found == tensors.end() ? nullptr : &*found;
}

void RepeatBiases(const ModelConfig& config,
                  std::vector<FloatTensor>* tensors) {
  std::vector<FloatTensor> result;
  for (FloatTensor& tensor : *tensors) {
    if (tensor.name != "r_w_bias" && tensor.name != "r_r_bias") {
      result.push_back(std::move(tensor));
      continue;
    }
    for (int32_t layer = 0; layer < config->n_layer; ++layer) {
      FloatTensor copy = tensor;
      copy.name = absl::StrCat("layers.", layer, ".dec_attn.", tensor.name);
      result.push_back(std::move(copy));
    }
  }
  *tensors = std::move(result);
}

}  // namespace spanlm
