// SPDX-License-Identifier: Apache-2.0
// fairseq's JSON log lines on stdout, and the same objects in a file.
#pragma once

#include <cstdint>
#include <fstream>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "train/progress_line.h"

namespace spanlm {

// The members of one line's object, in order. Numbers become strings in %g
// form, as fairseq writes them. A value.
class LogRecord {
 public:
  // An integer as it is.
  LogRecord& Integer(absl::string_view key, int64_t value);
  // A number of `digits` decimals as it is.
  LogRecord& Decimal(absl::string_view key, double value, int digits);
  // Rounded to `digits` decimals, then %g, in quotes.
  LogRecord& Rounded(absl::string_view key, double value, int digits);
  // %g in quotes.
  LogRecord& Number(absl::string_view key, double value);
  // Lists of numbers, %g, without quotes.
  LogRecord& Rows(absl::string_view key,
                  const std::vector<std::vector<double>>& rows);

  const std::string& members() const { return members_; }

 private:
  LogRecord& Add(absl::string_view key, absl::string_view json);

  std::string members_;
};

// Writes `date time | INFO | tag | {…}` to stdout and `{"tag": …, …}` to a
// file. One thread at a time.
class TrainLog {
 public:
  // Appends to `path`; an empty path: no file. kUnavailable: cannot be opened.
  static absl::StatusOr<TrainLog> Open(const std::string& path, bool to_stdout);

  // A log that writes nothing: that of all processes but the first.
  static TrainLog Mute();

  void Write(absl::string_view tag, const LogRecord& record);
  // `line`, lent, is cleared before each line of the log; nullptr: none is.
  void ShareTerminal(ProgressLine* line) { progress_line_ = line; }
  // kUnavailable, named: the file could not be written.
  absl::Status status() const;
  // To the file only: what no line of fairseq's holds.
  void WriteToFile(absl::string_view tag, const LogRecord& record);
  // A line for people: `date time | INFO | tag | text`; not in the file. On
  // stderr where no line goes to stdout.
  void Say(absl::string_view tag, absl::string_view text);

 private:
  TrainLog(std::string path, std::ofstream file, bool to_stdout)
      : path_(std::move(path)), file_(std::move(file)), to_stdout_(to_stdout) {}

  std::string path_;
  std::ofstream file_;
  bool to_stdout_;
  bool is_mute_ = false;
  ProgressLine* progress_line_ = nullptr;
};

}  // namespace spanlm
