// SPDX-License-Identifier: Apache-2.0
// One line on a terminal that says how far long work has come.
#pragma once

#include <cstdint>
#include <string>

#include "absl/time/time.h"

namespace spanlm {

// The line's text: bar, counts, rate and time left. The rate is of what is done
// after the first call, as all before it may be an earlier run's; until more is
// done there is none. One thread at a time.
class ProgressText {
 public:
  // `unit` follows the counts, e.g. "bytes".
  ProgressText(std::string label, int64_t total, std::string unit);

  // `done` of the total at `now`; neither goes back.
  std::string At(int64_t done, absl::Time now);

  int64_t total() const { return total_; }

 private:
  const std::string label_;
  const int64_t total_;
  const std::string unit_;
  int64_t first_done_ = -1;  // of the first call; −1: none yet
  absl::Time first_time_;
};

// Rewrites a line of stderr a few times a second; silent where stderr is no
// terminal. One thread at a time.
class ProgressLine {
 public:
  // As ProgressText.
  ProgressLine(std::string label, int64_t total, std::string unit);
  // Leaves the last state on its own line.
  ~ProgressLine();
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  // `done` of the total; `note` is put behind, e.g. "1.92 bits per byte".
  void Update(int64_t done, const std::string& note = "");
  // Makes place for a line of somebody else's; the next Update writes anew.
  void Clear();

 private:
  ProgressText text_;
  const bool visible_;
  absl::Time next_;
  bool shown_ = false;
};

}  // namespace spanlm
