// SPDX-License-Identifier: Apache-2.0
// y = x Wᵀ + b for any number of rows, with weights packed once at load.
//
// A panel holds kPanelOutputs outputs, [inputs][outputs of the panel], so that
// lanes are outputs and each output's sum runs over the inputs in order: an
// element's bits depend on its own row of x and nothing else. A weight format
// is a pair of functions below; formats share nothing but the order of sums.
#pragma once

#include <cstdint>

namespace spanlm::kernels {

inline constexpr int32_t kPanelOutputs = 32;

// Floats that PackWeights writes: the outputs rounded up to whole panels.
int64_t PackedFloats(int32_t outputs, int32_t inputs);

// Packs `weights`, [outputs, inputs], into `packed`, filling up with zeros.
void PackWeights(const float* weights, int32_t outputs, int32_t inputs,
                 float* packed);

// Strides count floats.
struct PackedLinearArgs {
  int32_t rows = 0;
  int32_t inputs = 0;
  int32_t outputs = 0;
  const float* x = nullptr;  // [rows, inputs]
  int64_t x_row_stride = 0;
  const float* weights = nullptr;  // packed, aligned to 64 bytes
  const float* bias = nullptr;     // [outputs], nullptr: none
  bool relu = false;               // y = max(y, 0) at the end; NaN stays NaN
  float* y = nullptr;              // [rows, outputs], must not overlap x
  int64_t y_row_stride = 0;
};

// Number of independent tasks.
int64_t PackedLinearTasks(const PackedLinearArgs& args);

// Does tasks [begin, end). Returns nullptr, or a static string saying why
// nothing was done. Neither allocates, synchronises, throws nor logs.
[[nodiscard]] const char* PackedLinearCpu(const PackedLinearArgs& args,
                                          int64_t begin, int64_t end);

}  // namespace spanlm::kernels
