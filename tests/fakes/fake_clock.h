// SPDX-License-Identifier: Apache-2.0
// A clock that stands still until it is told to move.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>

#include "absl/time/time.h"

namespace spanlm {

// Thread-safe.
class FakeClock {
 public:
  absl::Time Now() const {
    return absl::FromUnixNanos(nanoseconds_.load(std::memory_order_relaxed));
  }
  void Advance(absl::Duration time) {
    nanoseconds_.fetch_add(absl::ToInt64Nanoseconds(time),
                           std::memory_order_relaxed);
  }
  // Reads this clock, which must outlive it.
  std::function<absl::Time()> reader() const {
    return [this] { return Now(); };
  }

 private:
  std::atomic<int64_t> nanoseconds_{1'700'000'000'000'000'000};
};

}  // namespace spanlm
