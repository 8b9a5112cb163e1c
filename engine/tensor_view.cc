// SPDX-License-Identifier: Apache-2.0
#include "engine/tensor_view.h"

#include <cstring>

#include "absl/strings/str_cat.h"

namespace spanlm {
namespace {

float FromBits(uint32_t bits) {
  float value = 0;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

float FromHalf(uint16_t half) {
  const uint32_t sign = uint32_t{half & 0x8000u} << 16;
  const uint32_t exponent = (half >> 10) & 0x1f;
  const uint32_t mantissa = half & 0x3ff;
  if (exponent == 0x1f) return FromBits(sign | 0x7f800000 | mantissa << 13);
  if (exponent != 0) {
    return FromBits(sign | (exponent + 112) << 23 | mantissa << 13);
  }
  // Zero and subnormals: mantissa times 2^-24, exact in float.
  const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
  return sign == 0 ? magnitude : -magnitude;
}

float FromBfloat16(uint16_t value) { return FromBits(uint32_t{value} << 16); }
float Same(float value) { return value; }
float Round(double value) { return static_cast<float>(value); }

template <typename Stored>
std::vector<float> Convert(absl::Span<const std::byte> bytes,
                           float (*convert)(Stored)) {
  std::vector<float> floats(bytes.size() / sizeof(Stored));
  for (size_t i = 0; i < floats.size(); ++i) {
    Stored stored;  // files do not align their tensors
    std::memcpy(&stored, bytes.data() + i * sizeof(Stored), sizeof(Stored));
    floats[i] = convert(stored);
  }
  return floats;
}

}  // namespace

int64_t SizeOf(DType dtype) {
  switch (dtype) {
    case DType::kF64:
    case DType::kI64:
      return 8;
    case DType::kF32:
    case DType::kI32:
      return 4;
    case DType::kF16:
    case DType::kBF16:
      return 2;
    case DType::kU8:
    case DType::kBool:
      return 1;
  }
  return 0;
}

absl::string_view Name(DType dtype) {
  switch (dtype) {
    case DType::kF16:
      return "F16";
    case DType::kBF16:
      return "BF16";
    case DType::kF32:
      return "F32";
    case DType::kF64:
      return "F64";
    case DType::kI64:
      return "I64";
    case DType::kI32:
      return "I32";
    case DType::kU8:
      return "U8";
    case DType::kBool:
      return "BOOL";
  }
  return "";
}

int64_t TensorView::element_count() const {
  int64_t count = 1;
  for (const int64_t size : shape) count *= size;
  return count;
}

absl::StatusOr<std::vector<float>> ToFloats(const TensorView& tensor) {
  switch (tensor.dtype) {
    case DType::kF16:
      return Convert<uint16_t>(tensor.bytes, FromHalf);
    case DType::kBF16:
      return Convert<uint16_t>(tensor.bytes, FromBfloat16);
    case DType::kF32:
      return Convert<float>(tensor.bytes, Same);
    case DType::kF64:
      return Convert<double>(tensor.bytes, Round);
    default:
      return absl::InvalidArgumentError(
          absl::StrCat("tensor ", tensor.name, " is ", Name(tensor.dtype),
                       ", want F16, BF16, F32 or F64"));
  }
}

}  // namespace spanlm
