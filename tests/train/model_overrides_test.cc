// SPDX-License-Identifier: Apache-2.0
#include "train/model_overrides.h"

#include <string>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace spanlm {
namespace {

using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

TEST(ModelOverridesTest, ReadsTheRecipesLiteral) {
  ASSERT_OK_AND_ASSIGN(
      const auto dict,
      ParseModelOverrides(
          R"({"mem_len":2100,"clamp_len":820,"same_length":True})"));

  EXPECT_THAT(dict, UnorderedElementsAre(Pair("mem_len", "2100"),
                                         Pair("clamp_len", "820"),
                                         Pair("same_length", "true")));
}

TEST(ModelOverridesTest, TakesSpaceBothQuotesSignsAndATrailingComma) {
  ASSERT_OK_AND_ASSIGN(
      const auto dict,
      ParseModelOverrides(" { 'clamp_len' : -1 , 'dropout': 1.5e-1,\n"
                          "\"memory_start\": 'empty', 'x': False, } "));

  EXPECT_THAT(dict, UnorderedElementsAre(
                        Pair("clamp_len", "-1"), Pair("dropout", "1.5e-1"),
                        Pair("memory_start", "empty"), Pair("x", "false")));
}

TEST(ModelOverridesTest, HoldsNothingForEmptyTextAndEmptyDict) {
  ASSERT_OK_AND_ASSIGN(const auto none, ParseModelOverrides(""));
  ASSERT_OK_AND_ASSIGN(const auto empty, ParseModelOverrides("{}"));

  EXPECT_THAT(none, IsEmpty());
  EXPECT_THAT(empty, IsEmpty());
}

TEST(ModelOverridesTest, NamesThePlaceOfWhatItDoesNotUnderstand) {
  const struct {
    const char* text;
    const char* message;
  } cases[] = {
      {"mem_len=3", "expected { at character 1"},
      {"{mem_len: 3}", "expected a quoted key at character 2"},
      {"{'mem_len' 3}", "expected : at character 12"},
      {"{'a': 1 'b': 2}", "expected , or } at character 9"},
      {"{'a': true}", "True, False or a string at character 7"},
      {"{'a': nan}", "True, False or a string at character 7"},
      {"{'a': {'b': 1}}", "True, False or a string at character 7"},
      {"{'a': }", "True, False or a string at character 7"},
      {"{'a': 'b}", "expected a closing quote"},
      {"{'a': 'b\\n'}", "expected a string without backslash"},
      {"{'a': 1} x", "expected the end at character 10"},
      {"{'a': 1", "expected , or }"},
      {"{'a': 1, 'a': 2}", "a comes twice"},
      {"{,}", "expected a quoted key at character 2"},
  };
  for (const auto& c : cases) {
    EXPECT_THAT(ParseModelOverrides(c.text),
                StatusIs(absl::StatusCode::kInvalidArgument, c.message))
        << c.text;
  }
}

TEST(ModelOverridesTest, RefusesEveryTruncation) {
  const std::string text = R"({"mem_len": 2100, 'same_length': True})";
  for (size_t size = 1; size < text.size(); ++size) {
    EXPECT_THAT(ParseModelOverrides(text.substr(0, size)),
                StatusIs(absl::StatusCode::kInvalidArgument))
        << text.substr(0, size);
  }
}

}  // namespace
}  // namespace spanlm
