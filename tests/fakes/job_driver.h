// SPDX-License-Identifier: Apache-2.0
// Runs a job without a scheduler.
#pragma once

#include <cstdint>
#include <functional>

#include "absl/status/status.h"
#include "engine/engine.h"
#include "server/jobs/job.h"

namespace spanlm {

// Steps `job` alone until it is done, fails or has nothing to read, with chunks
// of at most `chunk_size()` symbols; then ends it, unless it only waits.
// Returns the status of its end, or kUnavailable if it waits.
absl::Status Drive(Engine* engine, Job* job,
                   const std::function<int64_t()>& chunk_size);
absl::Status Drive(Engine* engine, Job* job, int64_t chunk_size);

}  // namespace spanlm
