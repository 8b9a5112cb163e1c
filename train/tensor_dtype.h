// SPDX-License-Identifier: Apache-2.0
// Storing a model's parameters in another floating type.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "engine/checkpoint/model_dir.h"

namespace spanlm {

// Rounds the parameters of `contents` to "fp32", "bf16" or "fp16", to nearest,
// ties to even. Buffers (mask templates, inv_freq) and the spans, a few numbers
// that decide what a model attends to, keep their values and their type.
// kInvalidArgument: another dtype; kOutOfRange names a tensor with a value that
// fp16 cannot hold.
absl::Status ConvertParameters(const std::string& dtype,
                               ModelContents* contents);

}  // namespace spanlm
