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

ProgressText::ProgressText(std::string label, int64_t total, std::string unit)
    : label_(std::move(label)), total_(total), unit_(std::move(unit)) {}

std::string ProgressText::At(int64_t done, absl::Time now) {
  if (first_done_ < 0) {
    first_done_ = done;
    first_time_ = now;
  }
  const double fraction = total_ > 0
                              ? std::min(1.0, static_cast<double>(done) /
                                                  static_cast<double>(total_))
                              : 1.0;
  const auto filled = static_cast<size_t>(fraction * kBarWidth);
  std::string line = absl::StrFormat("%s [%s%s] %3.0f%% %d/%d %s", label_,
                                     std::string(filled, '#'),
                                     std::string(kBarWidth - filled, '.'),
                                     fraction * 100, done, total_, unit_);
  const double seconds = absl::ToDoubleSeconds(now - first_time_);
  if (done <= first_done_ || seconds <= 0) return line;
  const double rate = static_cast<double>(done - first_done_) / seconds;
  const double left =
      static_cast<double>(std::max<int64_t>(0, total_ - done)) / rate;
  absl::StrAppendFormat(
      &line, ", %.*f/s, %s left", rate < 10 ? 2 : 0, rate,
      absl::FormatDuration(absl::Seconds(static_cast<int64_t>(left))));
  return line;
}

ProgressLine::ProgressLine(std::string label, int64_t total, std::string unit)
    : text_(std::move(label), total, std::move(unit)),
      visible_(isatty(STDERR_FILENO) == 1) {}

ProgressLine::~ProgressLine() {
  if (shown_) std::cerr << std::endl;
}

void ProgressLine::Update(int64_t done, const std::string& note) {
  if (!visible_) return;
  const absl::Time now = absl::Now();
  if (now < next_ && done < text_.total()) return;
  next_ = now + kInterval;
  shown_ = true;
  std::cerr << '\r' << text_.At(done, now) << (note.empty() ? "" : ", ") << note
            << "\x1b[K" << std::flush;
}

void ProgressLine::Clear() {
  if (!shown_) return;
  std::cerr << "\r\x1b[K" << std::flush;
  shown_ = false;
  next_ = absl::Time();
}

}  // namespace spanlm
