// SPDX-License-Identifier: Apache-2.0
// Picks the next byte from the model's 256 log-probabilities.
#pragma once

#include <array>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/types/span.h"

namespace spanlm {

// Filters apply in this order: repetition penalty, temperature, top-k, top-p,
// min-p. Defaults switch each of them off.
struct SamplingOptions {
  float temperature = 1.0F;         // 0: the arg-max, smallest byte on a tie
  int32_t top_k = 0;                // 0 or 256: off; ties by byte order
  float top_p = 1.0F;               // in (0, 1]
  float min_p = 0.0F;               // in [0, 1], relative to the best
  float repetition_penalty = 1.0F;  // > 0
  int32_t repetition_window_bytes = 256;
  int64_t seed = 0;
};

// kInvalidArgument names the field, its value and the bound.
absl::Status CheckSampling(const SamplingOptions& options);

struct SampledByte {
  uint8_t byte = 0;
  float sampling_log_prob = 0;  // ln P after the filters, nats
};

// The byte for the draw numbered `position`: a pure function of its arguments
// (a counter-based generator keyed by seed and position), so a stream comes
// out the same in any company and after any interruption. `log_probs` are the
// model's, −inf allowed, at least one finite; `recent` holds the last bytes of
// the text, of which up to repetition_window_bytes count.
SampledByte SampleByte(const std::array<float, 256>& log_probs,
                       absl::Span<const uint8_t> recent,
                       const SamplingOptions& options, int64_t position);

}  // namespace spanlm
