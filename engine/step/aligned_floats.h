// SPDX-License-Identifier: Apache-2.0
// Large arrays of floats for kernels: aligned, zero, on huge pages if large.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>

#include "absl/status/statusor.h"

namespace spanlm {

// Owns `size` floats, aligned to 64 bytes and zero at first. Pages are taken
// when they are first touched. Move-only.
class AlignedFloats {
 public:
  AlignedFloats() = default;
  // kResourceExhausted names the bytes that could not be had.
  static absl::StatusOr<AlignedFloats> Create(int64_t size);

  float* data() { return data_.get(); }
  const float* data() const { return data_.get(); }
  int64_t size() const { return data_.get_deleter().size; }

 private:
  struct Unmap {
    Unmap() : size(0) {}
    explicit Unmap(int64_t floats) : size(floats) {}
    int64_t size;
    void operator()(float* data) const;
  };
  explicit AlignedFloats(std::unique_ptr<float[], Unmap> data)
      : data_(std::move(data)) {}

  std::unique_ptr<float[], Unmap> data_;
};

}  // namespace spanlm
