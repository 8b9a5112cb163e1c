// SPDX-License-Identifier: Apache-2.0
// Who reads how much in the next step: a pure function.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "server/jobs/job.h"

namespace spanlm {

struct BatchPolicy {
  int32_t max_step_symbols = 512;  // of all jobs together, at least 1
  // What a prefill gets before any gets more.
  int32_t min_share_symbols = 32;
  // Most that one prefill gets while other jobs have work.
  int32_t max_share_symbols = 256;
};

// One running job's wish. Of jobs with equal priority earlier ones go first, so
// the caller rotates them from step to step.
struct Demand {
  Priority priority = Priority::kStandard;
  Work work;
};

// The symbols that each job gets, [demands]; their sum is at most
// max_step_symbols and no job gets more than it wants.
//
// Decoding comes first, one symbol each; while prefills wait, an eighth of the
// step (at least one symbol) is kept for them. Then each prefill gets up to the
// minimum share; then, priority by priority, what is left is shared evenly, up
// to the maximum share each. A job alone gets all it wants.
std::vector<int32_t> PlanStep(absl::Span<const Demand> demands,
                              const BatchPolicy& policy);

}  // namespace spanlm
