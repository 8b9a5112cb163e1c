// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"

#include <limits>
#include <nlohmann/json.hpp>
#include <string>

#include "gtest/gtest.h"

namespace spanlm {
namespace {

std::string Captured(LogLevel level, std::initializer_list<LogField> fields) {
  testing::internal::CaptureStderr();
  Log(level, "something_happened", fields);
  return testing::internal::GetCapturedStderr();
}

TEST(LogTest, WritesOneJsonObjectALine) {
  const std::string line = Captured(
      LogLevel::kWarning,
      {{"name", "a\"b\n"}, {"count", 3}, {"share", 0.5}, {"done", true}});

  const auto json = nlohmann::json::parse(line);
  EXPECT_EQ(line.back(), '\n');
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  EXPECT_EQ(json["level"], "warning");
  EXPECT_EQ(json["event"], "something_happened");
  EXPECT_EQ(json["name"], "a\"b\n");
  EXPECT_EQ(json["count"], 3);
  EXPECT_EQ(json["share"], 0.5);
  EXPECT_EQ(json["done"], true);
}

TEST(LogTest, StaysValidJsonForBrokenUtf8AndInfinities) {
  const auto json = nlohmann::json::parse(Captured(
      LogLevel::kError, {{"bytes", "\xff\xfe"},
                         {"value", std::numeric_limits<double>::infinity()}}));

  EXPECT_TRUE(json["bytes"].is_string());
  EXPECT_TRUE(json["value"].is_null());
}

TEST(LogTest, DropsWhatIsBelowTheLevel) {
  LogLevel level;
  ASSERT_TRUE(ParseLogLevel("error", &level));
  SetLogLevel(level);
  EXPECT_EQ(Captured(LogLevel::kWarning, {}), "");
  EXPECT_NE(Captured(LogLevel::kError, {}), "");
  SetLogLevel(LogLevel::kInfo);

  EXPECT_FALSE(ParseLogLevel("loud", &level));
}

}  // namespace
}  // namespace spanlm
