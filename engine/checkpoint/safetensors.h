// SPDX-License-Identifier: Apache-2.0
// The safetensors format: an 8-byte little-endian header length, a JSON header
// of name → {dtype, shape, data_offsets}, then the tensors' bytes.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/checkpoint/mapped_file.h"
#include "engine/tensor_view.h"

namespace spanlm {

// A tensor that owns its bytes.
struct TensorData {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  std::string bytes;  // C order, little-endian

  TensorView view() const;
};

// A mapped, bounds-checked file. Views stay valid while it lives. Immutable;
// movable.
class Safetensors : public TensorSource {
 public:
  // kNotFound or kDataLoss names the file and what is wrong in it.
  static absl::StatusOr<Safetensors> Open(const std::string& path);

  absl::StatusOr<TensorView> Find(absl::string_view name) const override;
  std::vector<std::string> names() const override;
  absl::Span<const std::byte> bytes() const { return file_.bytes(); }

 private:
  Safetensors(std::string path, MappedFile file,
              std::map<std::string, TensorView> tensors)
      : path_(std::move(path)),
        file_(std::move(file)),
        tensors_(std::move(tensors)) {}

  std::string path_;
  MappedFile file_;
  std::map<std::string, TensorView> tensors_;
};

// The bytes of a safetensors file holding `tensors` in this order without
// holes; the first begins at a multiple of 8. kInvalidArgument: a name twice or
// not of printable ASCII, or bytes that do not fit a shape.
absl::StatusOr<std::string> SerializeSafetensors(
    absl::Span<const TensorData> tensors);

}  // namespace spanlm
