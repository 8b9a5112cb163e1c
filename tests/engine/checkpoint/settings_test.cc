// SPDX-License-Identifier: Apache-2.0
#include <map>
#include <string>

#include "engine/checkpoint/import/import.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace spanlm {
namespace {

TEST(SettingsTest, SetsFieldsOfEveryType) {
  ModelFields fields;

  ASSERT_OK(ApplySettings({{"ramp", "16"},
                           {"mem_len", "2100"},
                           {"clamp_len", "-1"},
                           {"same_length", "false"},
                           {"renormalize", "false"},
                           {"memory_start", "empty"}},
                          &fields));

  EXPECT_EQ(fields.ramp, 16);
  EXPECT_EQ(fields.mem_len, 2100);
  EXPECT_EQ(fields.clamp_len, -1);
  EXPECT_FALSE(fields.same_length);
  EXPECT_FALSE(fields.renormalize);
  EXPECT_EQ(fields.memory_start, MemoryStart::kEmpty);
}

TEST(SettingsTest, RefusesUnknownFieldsAndNamesThem) {
  ModelFields fields;
  for (const char* name : {"dropout", "architecture", "family", "symbols",
                           "weights_sha256", "format_version", ""}) {
    EXPECT_THAT(ApplySettings({{name, "1"}}, &fields),
                StatusIs(absl::StatusCode::kInvalidArgument, name));
  }
}

TEST(SettingsTest, RefusesValuesThatDoNotParse) {
  const std::map<std::string, std::string> cases[] = {
      {{"ramp", ""}},           {{"ramp", "32.0"}},
      {{"ramp", "5000000000"}}, {{"same_length", "True"}},
      {{"same_length", "1"}},   {{"memory_start", "none"}}};
  for (const auto& settings : cases) {
    ModelFields fields;
    EXPECT_THAT(ApplySettings(settings, &fields),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         settings.begin()->first.c_str()));
  }
}

}  // namespace
}  // namespace spanlm
