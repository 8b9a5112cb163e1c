// SPDX-License-Identifier: Apache-2.0
// Model directories small enough for unit tests.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/checkpoint/model_dir.h"
#include "engine/model_config.h"

namespace spanlm {

// Two layers of 16 over the 256 bytes; two heads with different spans.
ModelFields TinyAdaptiveSpan();
ModelFields TinyTransformerXl();

// Writes a model of that shape with random parameters (and, for Adaptive Span,
// the spans 0.05 and 0.3 of attn_span in each layer) to `path`.
absl::Status WriteTinyModel(const ModelFields& fields, uint64_t seed,
                            const std::string& path);

}  // namespace spanlm
