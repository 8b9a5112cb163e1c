// SPDX-License-Identifier: Apache-2.0
// One line on a terminal that says how far long work has come.
#pragma once

#include <cstdint>
#include <string>

#include "absl/time/time.h"

namespace spanlm {

// Rewrites a line of stderr a few times a second; silent where stderr is no
// terminal. One thread at a time.
class ProgressLine {
 public:
  // `unit` follows the counts, e.g. "bytes".
  ProgressLine(std::string label, int64_t total, std::string unit);
  // Leaves the last state on its own line.
  ~ProgressLine();
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  // `done` of the total; `note` is put behind, e.g. "1.92 bits per byte".
  void Update(int64_t done, const std::string& note = "");

 private:
  const std::string label_;
  const int64_t total_;
  const std::string unit_;
  const bool visible_;
  const absl::Time start_;
  absl::Time next_;
  bool shown_ = false;
};

// The line itself: bar, counts, rate, time left.
std::string FormatProgress(const std::string& label, int64_t done,
                           int64_t total, const std::string& unit,
                           absl::Duration elapsed);

}  // namespace spanlm
