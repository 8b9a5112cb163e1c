// SPDX-License-Identifier: Apache-2.0
#include "train/tensor_dtype.h"

#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

#include <cmath>
#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace spanlm {
namespace {

std::optional<DType> ParseDType(const std::string& name) {
  if (name == "fp32") return DType::kF32;
  if (name == "bf16") return DType::kBF16;
  if (name == "fp16") return DType::kF16;
  return std::nullopt;
}

bool KeepsItsType(const std::string& name) {
  return absl::EndsWith(name, "mask_template") ||
         absl::EndsWith(name, "inv_freq") ||
         absl::EndsWith(name, "current_val");
}

// The values' bytes as elements of type T.
template <typename T>
std::string Round(const std::vector<float>& values) {
  std::string bytes(values.size() * sizeof(T), '\0');
  for (size_t i = 0; i < values.size(); ++i) {
    const T rounded = values[i];
    std::memcpy(bytes.data() + i * sizeof(T), &rounded, sizeof(T));
  }
  return bytes;
}

absl::StatusOr<std::string> RoundTo(DType dtype, const std::string& name,
                                    const std::vector<float>& values) {
  if (dtype == DType::kBF16) return Round<c10::BFloat16>(values);
  if (dtype == DType::kF32) return Round<float>(values);
  for (const float value : values) {
    if (std::isfinite(value) &&
        !std::isfinite(static_cast<float>(c10::Half(value)))) {
      return absl::OutOfRangeError(
          absl::StrCat(name, ": fp16 cannot hold ", value));
    }
  }
  return Round<c10::Half>(values);
}

}  // namespace

absl::Status ConvertParameters(const std::string& dtype,
                               ModelContents* contents) {
  const std::optional<DType> target = ParseDType(dtype);
  if (!target.has_value()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--dtype ", dtype, ": want fp32, bf16 or fp16"));
  }
  for (TensorData& tensor : contents->tensors) {
    if (KeepsItsType(tensor.name)) continue;
    SPANLM_ASSIGN_OR_RETURN(const std::vector<float> values,
                            ToFloats(tensor.view()));
    SPANLM_ASSIGN_OR_RETURN(tensor.bytes,
                            RoundTo(*target, tensor.name, values));
    tensor.dtype = *target;
  }
  return absl::OkStatus();
}

}  // namespace spanlm
