// SPDX-License-Identifier: Apache-2.0
// A model's weights and tables in a CUDA device's memory, and a step through
// them. Both architectures are one: they differ in what was loaded.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "absl/status/statusor.h"
#include "engine/attention/attend.h"
#include "engine/model/layers.h"
#include "engine/model_config.h"
#include "engine/step/model_tables.h"
#include "engine/tensor_view.h"

namespace spanlm {

// One layer on the device.
struct DeviceLayer {
  at::Tensor qkv;  // [3 * d_model, d_model]: queries, keys, values
  at::Tensor out;  // [d_model, d_model]
  Norm attention_norm, ff_norm;
  FeedForward ff;
  DeviceTables tables;
};

// A step's tables on the device (StepTables).
struct DeviceStep {
  at::Tensor symbols;  // [rows], int64
  StepRows rows;
  at::Tensor wanted_rows;  // [wanted], int64
};

// Products and norms are LibTorch's, attention and caches our kernels'.
// Immutable, but for LibTorch's own: one thread at a time.
class DeviceModel {
 public:
  // Copies everything to `device`. Errors are LoadFloats'. Throws LibTorch's
  // exceptions.
  static absl::StatusOr<DeviceModel> Load(const ModelConfig& config,
                                          const TensorSource& tensors,
                                          const ModelTables& tables,
                                          at::Device device);

  // Reads the rows into the caches of `memory`. Returns ln P of what follows
  // each wanted row, [wanted, vocab_size], on the device and not yet waited
  // for. Throws LibTorch's exceptions.
  at::Tensor Step(const DeviceStep& step, const CacheMemory& memory) const;

 private:
  DeviceModel() = default;

  void AddTables(const ModelConfig& config, const ModelTables& tables,
                 at::Device device);

  at::Tensor embedding_;   // [vocab_size, d_model], as it is added up
  at::Tensor out_weight_;  // [vocab_size, d_model]
  at::Tensor out_bias_;    // [vocab_size]
  std::vector<DeviceLayer> layers_;
};

}  // namespace spanlm
