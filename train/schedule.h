// SPDX-License-Identifier: Apache-2.0
// The learning rate as a pure function of how far training has come
// (docs/model.md, "learning rate").
#pragma once

#include <cstdint>

namespace spanlm {

enum class LrScheduler { kFixed, kCosine };

struct ScheduleOptions {
  LrScheduler scheduler = LrScheduler::kFixed;
  double lr = 0.07;
  int64_t warmup_updates = 0;
  int64_t max_update = 0;  // the cosine's period; 0: it follows max_seconds
  double max_seconds = 0;  // 0: it follows max_update
};

// The rate of update `update` = 1, 2, …, where `seconds` of training have gone
// by before it. Both schedules rise as lr · update / warmup_updates first.
// kFixed stays at lr then; kCosine falls to 0 as ½ lr (1 + cos π p), with p the
// part that is over of what follows the warm-up: (update − 1 − warm-up) /
// (max_update − warm-up), or seconds / max_seconds where max_seconds is set.
double LearningRate(const ScheduleOptions& options, int64_t update,
                    double seconds);

}  // namespace spanlm
