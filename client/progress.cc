// SPDX-License-Identifier: Apache-2.0
#include "client/progress.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace spanlm {
namespace {

constexpr absl::Duration kRedraw = absl::Milliseconds(100);
// Between lines where no percentage can be said.
constexpr absl::Duration kLineInterval = absl::Seconds(10);

std::string HoursMinutesSeconds(absl::Duration duration) {
  const int64_t seconds = std::llround(absl::ToDoubleSeconds(duration));
  if (seconds >= 3600) {
    return absl::StrFormat("%d:%02d:%02d", seconds / 3600, seconds / 60 % 60,
                           seconds % 60);
  }
  return absl::StrFormat("%d:%02d", seconds / 60, seconds % 60);
}

int64_t Percent(const Progress::State& state) {
  return state.total_bytes <= 0
             ? -1
             : static_cast<int64_t>(100.0 * state.done_bytes /
                                    state.total_bytes);
}

}  // namespace

std::string FormatBytes(double bytes) {
  if (bytes < 1e3) return absl::StrFormat("%.0f B", bytes);
  if (bytes < 1e6) return absl::StrFormat("%.1f kB", bytes / 1e3);
  if (bytes < 1e9) return absl::StrFormat("%.1f MB", bytes / 1e6);
  return absl::StrFormat("%.2f GB", bytes / 1e9);
}

Progress::Progress(std::ostream& out, Mode mode,
                   std::function<absl::Time()> now)
    : out_(out), mode_(mode), now_(std::move(now)) {}

void Progress::Update(const State& state) {
  if (mode_ == Mode::kNone) return;
  const absl::Time now = now_();
  if (!begun_) {
    begun_ = true;
    begin_time_ = now;
    begin_bytes_ = state.done_bytes;
  }
  if (!IsDue(state, now)) return;
  shown_time_ = now;
  shown_percent_ = Percent(state);
  const std::string text = Describe(state, now);
  if (mode_ == Mode::kTerminal) {
    out_ << "\r\x1b[K" << text << std::flush;
  } else {
    out_ << text << std::endl;
  }
}

bool Progress::IsDue(const State& state, absl::Time now) {
  if (mode_ == Mode::kTerminal) return now - shown_time_ >= kRedraw;
  if (state.total_bytes > 0) return Percent(state) > shown_percent_;
  return now - shown_time_ >= kLineInterval;
}

std::string Progress::Describe(const State& state, absl::Time now) const {
  std::string text;
  if (state.total_bytes > 0) {
    absl::StrAppendFormat(&text, "%5.1f %%  ",
                          100.0 * state.done_bytes / state.total_bytes);
  }
  absl::StrAppend(&text, FormatBytes(state.done_bytes));
  const double seconds = absl::ToDoubleSeconds(now - begin_time_);
  const double speed =
      seconds > 0 ? (state.done_bytes - begin_bytes_) / seconds : 0;
  if (speed > 0) absl::StrAppend(&text, "  ", FormatBytes(speed), "/s");
  if (speed > 0 && state.total_bytes > 0) {
    const double rest = (state.total_bytes - state.done_bytes) / speed;
    absl::StrAppend(&text, "  ", HoursMinutesSeconds(absl::Seconds(rest)),
                    " left");
  }
  if (state.done_bytes > 0) {
    absl::StrAppendFormat(&text, "  %.4f bits per byte", state.bits_per_byte);
  }
  return text;
}

void Progress::Finish() {
  if (mode_ == Mode::kTerminal && begun_) out_ << "\r\x1b[K" << std::flush;
  begun_ = false;
}

}  // namespace spanlm
