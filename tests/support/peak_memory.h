// SPDX-License-Identifier: Apache-2.0
// How much memory the process has needed so far.
#pragma once

#include <sys/resource.h>

#include <cstdint>

namespace spanlm {

// Bytes of the largest resident set; never falls.
inline int64_t PeakBytes() {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  return int64_t{usage.ru_maxrss} * 1024;
}

}  // namespace spanlm
