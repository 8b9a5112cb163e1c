// SPDX-License-Identifier: Apache-2.0
// Plain arrays of the host on their way into a device's memory.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "absl/types/span.h"

namespace spanlm {

// Throws LibTorch's exceptions; `shape` has as many elements as `values`.
at::Tensor CopyToDevice(absl::Span<const float> values, at::IntArrayRef shape,
                        at::Device device);
at::Tensor CopyToDevice(absl::Span<const int32_t> values, at::Device device);
at::Tensor CopyToDevice(absl::Span<const int64_t> values, at::Device device);

// The bytes of plain structs, [records, bytes of one], uint8. Never empty.
at::Tensor CopyBytesToDevice(const void* records, int64_t count,
                             int64_t record_bytes, at::Device device);

template <typename Record>
at::Tensor CopyRecordsToDevice(const std::vector<Record>& records,
                               at::Device device) {
  return CopyBytesToDevice(records.data(), static_cast<int64_t>(records.size()),
                           int64_t{sizeof(Record)}, device);
}

}  // namespace spanlm
