// SPDX-License-Identifier: Apache-2.0
#include "train/progress_line.h"

#include <unistd.h>

#include <algorithm>
#include <iostream>
#include <utility>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"

namespace spanlm {
namespace {

constexpr absl::Duration kInterval = absl::Milliseconds(200);
constexpr int kBarWidth = 24;

}  // namespace

std::string FormatProgress(const std::string& label, int64_t done,
                           int64_t total, const std::string& unit,
                           absl::Duration elapsed) {
  const double fraction = total > 0
                              ? std::min(1.0, static_cast<double>(done) /
                                                  static_cast<double>(total))
                              : 1.0;
  const double seconds = absl::ToDoubleSeconds(elapsed);
  const double rate = seconds > 0 ? static_cast<double>(done) / seconds : 0;
  const double left =
      rate > 0 ? static_cast<double>(std::max<int64_t>(0, total - done)) / rate
               : 0;
  const auto filled = static_cast<size_t>(fraction * kBarWidth);
  return absl::StrFormat(
      "%s [%s%s] %3.0f%% %d/%d %s, %.0f/s, %s left", label,
      std::string(filled, '#'), std::string(kBarWidth - filled, '.'),
      fraction * 100, done, total, unit, rate,
      absl::FormatDuration(absl::Seconds(static_cast<int64_t>(left))));
}

ProgressLine::ProgressLine(std::string label, int64_t total, std::string unit)
    : label_(std::move(label)),
      total_(total),
      unit_(std::move(unit)),
      visible_(isatty(STDERR_FILENO) == 1),
      start_(absl::Now()),
      next_(start_) {}

ProgressLine::~ProgressLine() {
  if (shown_) std::cerr << std::endl;
}

void ProgressLine::Update(int64_t done, const std::string& note) {
  if (!visible_) return;
  const absl::Time now = absl::Now();
  if (now < next_ && done < total_) return;
  next_ = now + kInterval;
  shown_ = true;
  std::cerr << '\r' << FormatProgress(label_, done, total_, unit_, now - start_)
            << (note.empty() ? "" : ", ") << note << "\x1b[K" << std::flush;
}

}  // namespace spanlm
