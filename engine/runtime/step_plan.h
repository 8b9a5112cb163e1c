// SPDX-License-Identifier: Apache-2.0
// Between the engine's door and a step: a batch to row tables, a step's
// log-probabilities to its result. Shared by the engines of all devices.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/batch.h"
#include "engine/step/span_step.h"

namespace spanlm {

// What a batch is checked and laid out against.
struct StepLimits {
  int32_t vocab_size = 0;
  int32_t max_symbols = 0;  // of all sequences together
  int32_t heads = 0;
  int32_t head_dim = 0;
  int32_t min_distance = 0;  // 1: chunks of one symbol need no staging
  int64_t slot_floats = 0;   // from slot to slot of the slab
};

// kInvalidArgument: an empty batch or chunk, a symbol out of range, a missing
// cache, one that stands in the batch twice, too many symbols. Names the
// sequence.
absl::Status CheckBatch(const Batch& batch, const StepLimits& limits);

// The tables of a batch that CheckBatch accepts.
StepTables MakeStepTables(const Batch& batch, const StepLimits& limits);

// Makes the result of a step and moves the batch's caches on. `log_probs`
// gives the distribution after wanted_rows[i] of the batch's tables.
StepResult FinishStep(
    const Batch& batch,
    const std::function<absl::Span<const float>(int64_t i)>& log_probs);

}  // namespace spanlm
