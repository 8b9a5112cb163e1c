// SPDX-License-Identifier: Apache-2.0
// y = LayerNorm(x + residual): the post-norm at the end of each half of a
// layer.
#pragma once

#include <cstdint>

namespace spanlm::kernels {

// All arrays dense.
struct LayerNormArgs {
  int32_t rows = 0;
  int32_t dim = 0;
  const float* x = nullptr;         // [rows, dim]
  const float* residual = nullptr;  // [rows, dim], nullptr: none
  const float* weight = nullptr;    // [dim]
  const float* bias = nullptr;      // [dim]
  float epsilon = 1e-5F;
  float* y = nullptr;  // [rows, dim]; may be x or residual
};

// Does rows [begin, end). Returns nullptr, or a static string saying why
// nothing was done.
[[nodiscard]] const char* LayerNormCpu(const LayerNormArgs& args, int64_t begin,
                                       int64_t end);

}  // namespace spanlm::kernels
