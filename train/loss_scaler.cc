// SPDX-License-Identifier: Apache-2.0
#include "train/loss_scaler.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace spanlm {

LossScaler::LossScaler(const LossScalerOptions& options, int64_t batches)
    : options_(options) {
  if (options_.window == 0) {
    options_.window = std::max<int64_t>((1 << 14) / batches, 1);
  }
  state_.scale = options.initial_scale;
}

void LossScaler::CountClean() {
  if ((state_.step - state_.last_overflow) % options_.window == 0) {
    state_.scale *= 2;
  }
  ++state_.step;
}

absl::Status LossScaler::CountOverflow() {
  state_.last_overflow = state_.step;
  ++state_.step;
  if (state_.scale / 2 <= options_.min_scale) {
    return absl::InternalError(absl::StrCat(
        "gradients overflow at a loss scale of ", state_.scale,
        ", its bound is ", options_.min_scale,
        "; start again from a checkpoint with a lower --lr, or in --precision "
        "fp32"));
  }
  state_.scale /= 2;
  return absl::OkStatus();
}

}  // namespace spanlm
