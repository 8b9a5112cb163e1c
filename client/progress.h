// SPDX-License-Identifier: Apache-2.0
// What a person sees of long work.
#pragma once

#include <cstdint>
#include <functional>
#include <ostream>
#include <string>

#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace spanlm {

// Shows how far long work is: on a terminal one line that is drawn again and
// again, elsewhere a line for each percent, or nothing. One thread at a time.
class Progress {
 public:
  enum class Mode { kNone, kTerminal, kLines };
  struct State {
    int64_t done_bytes = 0;
    int64_t total_bytes = -1;  // -1: not known
    double bits_per_byte = 0;  // of what is done
  };

  // `out` outlives this. Speed counts from the first Update on, so that work
  // done in an earlier run does not.
  Progress(std::ostream& out, Mode mode,
           std::function<absl::Time()> now = absl::Now);

  void Update(const State& state);
  // Clears the terminal's line, if there is one.
  void Finish();

 private:
  bool IsDue(const State& state, absl::Time now);
  std::string Describe(const State& state, absl::Time now) const;

  std::ostream& out_;
  const Mode mode_;
  const std::function<absl::Time()> now_;
  bool begun_ = false;
  absl::Time begin_time_;
  int64_t begin_bytes_ = 0;
  absl::Time shown_time_ = absl::InfinitePast();
  int64_t shown_percent_ = -1;
};

// "987 B", "12.3 kB", "4.0 MB", powers of 1000.
std::string FormatBytes(double bytes);

}  // namespace spanlm
