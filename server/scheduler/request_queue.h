// SPDX-License-Identifier: Apache-2.0
// Requests that wait for slots of the engine.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "server/jobs/job.h"

namespace spanlm {

// A request on its way: its terms, the jobs not begun and its bookkeeping.
struct Request {
  RequestTerms terms;
  absl::Time arrival;
  std::deque<std::unique_ptr<Job>> waiting;
};

}  // namespace spanlm
