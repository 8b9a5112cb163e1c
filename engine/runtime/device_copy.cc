// SPDX-License-Identifier: Apache-2.0
#include "engine/runtime/device_copy.h"

#include <ATen/ops/empty.h>

#include <cstring>

namespace spanlm {
namespace {

at::Tensor Copy(const void* values, at::IntArrayRef shape, at::ScalarType type,
                at::Device device) {
  at::Tensor host = at::empty(shape, at::TensorOptions().dtype(type));
  std::memcpy(host.mutable_data_ptr(), values, host.nbytes());
  return host.to(device);
}

}  // namespace

at::Tensor CopyToDevice(absl::Span<const float> values, at::IntArrayRef shape,
                        at::Device device) {
  return Copy(values.data(), shape, at::kFloat, device);
}

at::Tensor CopyToDevice(absl::Span<const int32_t> values, at::Device device) {
  return Copy(values.data(), {static_cast<int64_t>(values.size())}, at::kInt,
              device);
}

at::Tensor CopyToDevice(absl::Span<const int64_t> values, at::Device device) {
  return Copy(values.data(), {static_cast<int64_t>(values.size())}, at::kLong,
              device);
}

at::Tensor CopyBytesToDevice(const void* records, int64_t count,
                             int64_t record_bytes, at::Device device) {
  return Copy(records, {count, record_bytes}, at::kByte, device);
}

}  // namespace spanlm
