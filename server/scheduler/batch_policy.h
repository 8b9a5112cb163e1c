// SPDX-License-Identifier: Apache-2.0
// Who reads how much in the next step: a pure function.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "server/jobs/job.h"

namespace spanlm {

struct BatchPolicy {
  int32_t max_step_symbols = 512;  // of all jobs together, at least 2

  // What all prefills together get in a step in which others decode, no less
  // and no more: the next byte of a text waits for an eighth of a full step.
  int32_t prefills_beside_decodes() const {
    return std::max(1, max_step_symbols / 8);
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
// Decoding comes first, one symbol each, and leaves the prefills theirs;
// without decoding theirs is the whole step. Of it each prefill first gets up
// to a sixteenth. Then, priority by priority, what is left is shared evenly;
// where nothing decodes and several have work, one gets half a step at most, as
// its work may be long and another's may come.
std::vector<int32_t> PlanStep(absl::Span<const Demand> demands,
                              const BatchPolicy& policy);

}  // namespace spanlm
