// SPDX-License-Identifier: Apache-2.0
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/integration/child_process.h"

namespace spanlm {
namespace {

using testing::HasSubstr;

TEST(StepBenchFlagsTest, ExitsWithSixtyFourOnWrongArguments) {
  const std::vector<std::vector<std::string>> wrong = {
      {"2", "4"},
      {"--loud"},
      {"--rounds", "0"},
      {"--rounds", "few"},
      {"--rounds", "99999999999999999999"},
      {"--threads", "-1"},
      {"--turn-ms", "nan"},
      {"--json", ""},
      {"--json", "/"},
      {"--json", "/no/such/folder/bench.json"}};
  for (const auto& arguments : wrong) {
    const Outcome outcome = RunProgram("spanlm_step_bench", arguments);
    EXPECT_EQ(outcome.exit_code, 64) << testing::PrintToString(arguments);
    EXPECT_EQ(outcome.out, "");
    EXPECT_THAT(outcome.err, HasSubstr(arguments[0]));
  }
}

TEST(StepBenchFlagsTest, PrintsItsFlags) {
  const Outcome outcome = RunProgram("spanlm_step_bench", {"--help"});

  EXPECT_EQ(outcome.exit_code, 0);
  for (const char* flag : {"--threads", "--rounds", "--turn-ms", "--json"}) {
    EXPECT_THAT(outcome.out, HasSubstr(flag));
  }
}

}  // namespace
}  // namespace spanlm
