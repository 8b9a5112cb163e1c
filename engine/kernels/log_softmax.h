// SPDX-License-Identifier: Apache-2.0
// Logits to log-probabilities in nats, each row by itself in a fixed order.
#pragma once

#include <cstdint>

namespace spanlm::kernels {

// Strides count floats.
struct LogSoftmaxArgs {
  int32_t rows = 0;
  int32_t classes = 0;
  const float* logits = nullptr;  // [rows, classes]
  int64_t logits_row_stride = 0;
  float* log_probs = nullptr;  // [rows, classes]; may be `logits`
  int64_t log_probs_row_stride = 0;
};

// Does rows [begin, end). Returns nullptr, or a static string saying why
// nothing was done. NaN or infinite logits give NaN in their row.
[[nodiscard]] const char* LogSoftmaxCpu(const LogSoftmaxArgs& args,
                                        int64_t begin, int64_t end);

}  // namespace spanlm::kernels
