// SPDX-License-Identifier: Apache-2.0
#include "train/train_log.h"

#include <cmath>
#include <iostream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace spanlm {
namespace {

std::string LinePrefix(absl::string_view tag) {
  return absl::StrCat(
      absl::FormatTime("%Y-%m-%d %H:%M:%S", absl::Now(), absl::LocalTimeZone()),
      " | INFO | ", tag, " | ");
}

}  // namespace

LogRecord& LogRecord::Add(absl::string_view key, absl::string_view json) {
  absl::StrAppend(&members_, members_.empty() ? "" : ", ", "\"", key,
                  "\": ", json);
  return *this;
}

LogRecord& LogRecord::Integer(absl::string_view key, int64_t value) {
  return Add(key, absl::StrCat(value));
}

LogRecord& LogRecord::Decimal(absl::string_view key, double value, int digits) {
  // %g drops the zeros that Python drops, but for the one after the point.
  const double scale = std::pow(10.0, digits);
  std::string text =
      absl::StrFormat("%.15g", std::round(value * scale) / scale);
  if (text.find_first_of(".e") == std::string::npos) text += ".0";
  return Add(key, text);
}

LogRecord& LogRecord::Rounded(absl::string_view key, double value, int digits) {
  const double scale = std::pow(10.0, digits);
  return Number(key, std::round(value * scale) / scale);
}

LogRecord& LogRecord::Number(absl::string_view key, double value) {
  return Add(key, absl::StrFormat("\"%g\"", value));
}

LogRecord& LogRecord::Rows(absl::string_view key,
                           const std::vector<std::vector<double>>& rows) {
  const auto number = [](std::string* out, double value) {
    absl::StrAppendFormat(out, "%g", value);
  };
  const auto row = [&](std::string* out, const std::vector<double>& values) {
    absl::StrAppend(out, "[", absl::StrJoin(values, ", ", number), "]");
  };
  return Add(key, absl::StrCat("[", absl::StrJoin(rows, ", ", row), "]"));
}

TrainLog TrainLog::Mute() {
  TrainLog log("", std::ofstream(), false);
  log.is_mute_ = true;
  return log;
}

absl::StatusOr<TrainLog> TrainLog::Open(const std::string& path,
                                        bool to_stdout) {
  std::ofstream file;
  if (!path.empty()) {
    file.open(path, std::ios::app);
    if (!file) {
      return absl::UnavailableError(
          absl::StrCat(path, ": cannot be opened for writing"));
    }
  }
  return TrainLog(path, std::move(file), to_stdout);
}

void TrainLog::WriteToFile(absl::string_view tag, const LogRecord& record) {
  if (!file_.is_open()) return;
  file_ << absl::StrCat("{\"tag\": \"", tag, "\", ", record.members(), "}\n")
        << std::flush;
}

void TrainLog::Write(absl::string_view tag, const LogRecord& record) {
  WriteToFile(tag, record);
  if (to_stdout_) Say(tag, absl::StrCat("{", record.members(), "}"));
}

absl::Status TrainLog::status() const {
  if (!file_.is_open() || file_.good()) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat(path_, ": cannot be written"));
}

void TrainLog::Say(absl::string_view tag, absl::string_view text) {
  if (is_mute_) return;
  if (progress_line_ != nullptr) progress_line_->Clear();
  (to_stdout_ ? std::cout : std::cerr)
      << absl::StrCat(LinePrefix(tag), text, "\n") << std::flush;
}

}  // namespace spanlm
