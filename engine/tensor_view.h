// SPDX-License-Identifier: Apache-2.0
// Named, read-only tensors as they lie in a file. Knows no framework.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace spanlm {

enum class DType { kF16, kBF16, kF32, kF64, kI64, kI32, kU8, kBool };

// Bytes an element takes.
int64_t SizeOf(DType dtype);
// The name of the safetensors format: "F16", "BF16", "F32", …
absl::string_view Name(DType dtype);

// One tensor in C order, little-endian. `bytes` is lent by whoever gave the
// view and has exactly the size of the shape.
struct TensorView {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  absl::Span<const std::byte> bytes;

  int64_t element_count() const;
};

// A lookup by name. Views live as long as the source. Immutable.
class TensorSource {
 public:
  virtual ~TensorSource() = default;
  // kNotFound names the file and the tensor.
  virtual absl::StatusOr<TensorView> Find(absl::string_view name) const = 0;
  virtual std::vector<std::string> names() const = 0;
};

// The tensor's elements as float32: exact for half, bfloat16 and float,
// rounded for double. kInvalidArgument names a tensor that is not of a
// floating type.
absl::StatusOr<std::vector<float>> ToFloats(const TensorView& tensor);

}  // namespace spanlm
