// SPDX-License-Identifier: Apache-2.0
// The factor that lifts a half-precision loss, so that small gradients are not
// rounded to zero (fairseq's dynamic scale; docs/model.md, "Half precision").
#pragma once

#include <cstdint>

#include "absl/status/status.h"

namespace spanlm {

struct LossScalerOptions {
  double initial_scale = 128;
  // Clean steps after which the scale doubles; 0: 2^14 / processes / batches of
  // an update, as fairseq has it.
  int64_t window = 0;
  double min_scale = 1e-4;
};

// All that a resume needs.
struct LossScalerState {
  double scale = 128;
  int64_t step = 0;            // steps so far, skipped ones included
  int64_t last_overflow = -1;  // the step of the last overflow; −1: none
};

// One thread at a time.
class LossScaler {
 public:
  // `batches` of a step, all processes' together.
  LossScaler(const LossScalerOptions& options, int64_t batches);

  double scale() const { return state_.scale; }

  // Counts a step that moved the parameters; may double the scale.
  void CountClean();
  // Counts a step that was skipped, its gradient not being finite; halves the
  // scale. kInternal: the scale would fall to min_scale (both named).
  absl::Status CountOverflow();

  const LossScalerState& state() const { return state_; }
  void Restore(const LossScalerState& state) { state_ = state; }

 private:
  LossScalerOptions options_;
  LossScalerState state_;
};

}  // namespace spanlm
