// SPDX-License-Identifier: Apache-2.0
// Who reads how much in the next step: a pure function.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "server/jobs/job.h"

namespace spanlm {

struct BatchPolicy {
  int32_t max_step_symbols = 512;  // of all jobs together, at least 2

  // Kept for prefills, if there are such, when decoding fills the step.
  int32_t prefill_reserve() const { return AtLeastOne(max_step_symbols / 8); }
  // What a prefill gets before any gets more.
  int32_t min_share() const { return AtLeastOne(max_step_symbols / 16); }
  // Most that one prefill gets while other jobs have work.
  int32_t max_share() const { return AtLeastOne(max_step_symbols / 2); }

 private:
  static int32_t AtLeastOne(int32_t symbols) {
    return symbols > 0 ? symbols : 1;
  }
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
// Decoding comes first, one symbol each. Then each prefill gets up to the
// minimum share. Then, priority by priority, what is left is shared evenly, up
// to the maximum share each; a job alone gets all it wants.
std::vector<int32_t> PlanStep(absl::Span<const Demand> demands,
                              const BatchPolicy& policy);

}  // namespace spanlm
