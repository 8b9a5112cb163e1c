// SPDX-License-Identifier: Apache-2.0
// Events as JSON lines on stderr: {"time":…,"level":…,"event":…, fields…}.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>

#include "absl/strings/string_view.h"

namespace spanlm {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

// One named value of an event. Strings are escaped (and made valid UTF-8);
// never pass the bytes of a user's text.
class LogField {
 public:
  LogField(absl::string_view name, absl::string_view value);
  LogField(absl::string_view name, const char* value);
  LogField(absl::string_view name, int64_t value);
  LogField(absl::string_view name, int value)
      : LogField(name, static_cast<int64_t>(value)) {}
  LogField(absl::string_view name, double value);
  LogField(absl::string_view name, bool value);

  const std::string& name() const { return name_; }
  const std::string& json() const { return json_; }  // the value, encoded

 private:
  std::string name_;
  std::string json_;
};

// Writes one line if `level` is at or above the process's level. `event` is a
// fixed snake_case word. Thread-safe; does not throw.
void Log(LogLevel level, absl::string_view event,
         std::initializer_list<LogField> fields = {});

// kInfo at start. Thread-safe.
void SetLogLevel(LogLevel level);

// "debug", "info", "warning" or "error" to a level; false: none of them.
bool ParseLogLevel(absl::string_view text, LogLevel* level);

}  // namespace spanlm
