// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace spanlm {
namespace {

std::string QuoteJson(absl::string_view text) {
  return nlohmann::json(std::string(text))
      .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

spdlog::level::level_enum ToSpdlog(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::err;
}

absl::string_view Name(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return "debug";
    case LogLevel::kInfo:
      return "info";
    case LogLevel::kWarning:
      return "warning";
    case LogLevel::kError:
      return "error";
  }
  return "error";
}

spdlog::logger& Logger() {
  // Never destroyed: other threads may log while the process ends.
  static spdlog::logger* const logger = [] {
    auto* made = new spdlog::logger(
        "spanlm", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made->set_pattern("%v");
    made->set_level(spdlog::level::info);
    return made;
  }();
  return *logger;
}

}  // namespace

LogField::LogField(absl::string_view name, absl::string_view value)
    : name_(name), json_(QuoteJson(value)) {}
LogField::LogField(absl::string_view name, const char* value)
    : LogField(name, absl::string_view(value)) {}
LogField::LogField(absl::string_view name, int64_t value)
    : name_(name), json_(absl::StrCat(value)) {}
LogField::LogField(absl::string_view name, double value)
    : name_(name),
      json_(std::isfinite(value) ? absl::StrFormat("%.9g", value) : "null") {}
LogField::LogField(absl::string_view name, bool value)
    : name_(name), json_(value ? "true" : "false") {}

void Log(LogLevel level, absl::string_view event,
         std::initializer_list<LogField> fields) {
  spdlog::logger& logger = Logger();
  if (!logger.should_log(ToSpdlog(level))) return;
  std::string line = absl::StrCat(
      R"({"time":")",
      absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", absl::Now(),
                       absl::UTCTimeZone()),
      R"(","level":")", Name(level), R"(","event":)", QuoteJson(event));
  for (const LogField& field : fields) {
    absl::StrAppend(&line, ",", QuoteJson(field.name()), ":", field.json());
  }
  absl::StrAppend(&line, "}");
  logger.log(ToSpdlog(level), "{}", line);
}

void SetLogLevel(LogLevel level) { Logger().set_level(ToSpdlog(level)); }

bool ParseLogLevel(absl::string_view text, LogLevel* level) {
  for (LogLevel candidate : {LogLevel::kDebug, LogLevel::kInfo,
                             LogLevel::kWarning, LogLevel::kError}) {
    if (text != Name(candidate)) continue;
    *level = candidate;
    return true;
  }
  return false;
}

}  // namespace spanlm
