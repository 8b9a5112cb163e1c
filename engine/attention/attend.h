// SPDX-License-Identifier: Apache-2.0
// One layer's attention in a step on the device: tensors in, a tensor out. The
// only place where LibTorch meets the kernels.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace spanlm {

// A layer's fixed data on the device, made at load. Floats are float32 and
// everything is dense; layouts are those of kernels::SpanAttentionArgs.
struct DeviceTables {
  at::Tensor heads;  // [n_head, bytes of a kernels::HeadSpan], uint8
  // kBlock zeros, then for each head mask_columns entries and kBlock zeros;
  // undefined: no mask.
  at::Tensor mask;
  at::Tensor position_keys;  // [n_head or 1, blocks, head_dim, kBlock]
  // [n_head, head_dim]; undefined: none.
  at::Tensor content_bias, position_bias;
  int32_t mask_columns = 0;
  int32_t position_reach = 0;
  int32_t min_distance = 0;
  bool renormalize = true;
  bool empty_start = false;
  float scale = 1;
};

// What the sequences of a step are, on the device.
struct StepRows {
  at::Tensor chunks;     // [chunks, bytes of a kernels::Chunk], uint8
  at::Tensor row_chunk;  // [rows], int32
};

// [rows, n_head * head_dim] each, float32; rows may be strided.
struct Projections {
  at::Tensor query, key, value;
};

// Float32, flat and dense. `slab` holds all caches; `staged_keys` is scratch
// for the step's keys and may be empty where no chunk is staged.
struct CacheMemory {
  at::Tensor slab, staged_keys;
};

// Stages the keys, attends and appends to the caches: on the CUDA device's
// current stream and without waiting for it, or, for tensors of the CPU, by the
// CPU's kernels on this thread. [rows, n_head * head_dim]. Throws c10::Error,
// naming the tensor, for a wrong shape, type or device, and for a kernel that
// did not start; what lies in the tables is not checked.
at::Tensor Attend(const StepRows& rows, const DeviceTables& tables,
                  const Projections& projections, const CacheMemory& memory);

}  // namespace spanlm
