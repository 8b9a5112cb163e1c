// SPDX-License-Identifier: Apache-2.0
#include "train/schedule.h"

#include <algorithm>
#include <cmath>

namespace spanlm {

double LearningRate(const ScheduleOptions& options, int64_t update,
                    double seconds) {
  const int64_t warmup = options.warmup_updates;
  const double rise = update < warmup ? static_cast<double>(update) /
                                            static_cast<double>(warmup)
                                      : 1.0;
  if (options.scheduler == LrScheduler::kFixed) return options.lr * rise;
  if (options.max_seconds > 0) {
    // Time is not known in advance, so the rise lies over the fall here.
    const double part = std::min(seconds / options.max_seconds, 1.0);
    return options.lr * rise * 0.5 * (1 + std::cos(M_PI * part));
  }
  if (update <= warmup) return options.lr * rise;
  const double part = std::min(static_cast<double>(update - 1 - warmup) /
                                   static_cast<double>(std::max<int64_t>(
                                       options.max_update - warmup, 1)),
                               1.0);
  return options.lr * 0.5 * (1 + std::cos(M_PI * part));
}

}  // namespace spanlm
