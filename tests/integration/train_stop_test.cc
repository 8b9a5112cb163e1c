// SPDX-License-Identifier: Apache-2.0
// `spanlm-train train` as a Kubernetes Job meets it: SIGTERM, and again.
#include <csignal>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/integration/child_process.h"
#include "tests/integration/small_run.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace spanlm {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr int kStopped = 75;

class TrainStopTest : public ::testing::Test {
 protected:
  SmallRun run_;
};

TEST_F(TrainStopTest, SavesOnSigtermAndGoesOnToTheSameModel) {
  // Far more than could be done before the signal arrives.
  constexpr int kFarAway = 1000000;
  ASSERT_OK_AND_ASSIGN(
      const auto process,
      ChildProcess::Start("spanlm-train", run_.Arguments("cut", kFarAway),
                          run_.File("err")));
  int updates = 0;
  while (updates < 5) {
    ASSERT_OK_AND_ASSIGN(const std::string line, process->ReadLine());
    if (absl::StrContains(line, "train_inner")) ++updates;
  }
  process->Signal(SIGTERM);
  const std::string rest = process->ReadAll();
  ASSERT_EQ(process->Wait(), kStopped) << ReadFile(run_.File("err"));
  EXPECT_THAT(rest, HasSubstr("; start again to go on"));
  const int64_t cut = run_.SavedUpdate("cut");
  EXPECT_GE(cut, 5);

  const int until = static_cast<int>(cut) + 20;
  const Outcome resumed =
      RunProgram("spanlm-train", run_.Arguments("cut", until));
  ASSERT_EQ(resumed.exit_code, 0) << resumed.err;
  EXPECT_THAT(resumed.out, HasSubstr(absl::StrCat("at update ", cut)));
  const Outcome whole =
      RunProgram("spanlm-train", run_.Arguments("whole", until));
  ASSERT_EQ(whole.exit_code, 0) << whole.err;

  EXPECT_EQ(run_.SavedUpdate("cut"), until);
  EXPECT_EQ(run_.Digest("cut"), run_.Digest("whole"));
}

// A validation may take longer than an orchestrator waits.
TEST_F(TrainStopTest, SavesOnSigtermWhileItValidatesAndValidatesAfterwards) {
  // Blocks of one symbol: thousands of them.
  std::vector<std::string> arguments = run_.Arguments("validating", 3);
  const std::string text = ReadFile(run_.File("raw"));
  std::string valid;
  while (valid.size() < 400000) valid += text;
  const TempDir folder;
  const std::string raw = folder.Write("raw", text + valid);
  ASSERT_EQ(RunProgram(
                "spanlm-train",
                {"preprocess", "--raw", raw, "--destdir", folder.File("corpus"),
                 "--split", absl::StrCat(text.size(), ",", valid.size(), ",0")})
                .exit_code,
            0);
  arguments[1] = folder.File("corpus");
  ASSERT_OK_AND_ASSIGN(
      const auto process,
      ChildProcess::Start("spanlm-train", arguments, run_.File("err")));
  for (int updates = 0; updates < 3;) {
    ASSERT_OK_AND_ASSIGN(const std::string line, process->ReadLine());
    if (absl::StrContains(line, "train_inner")) ++updates;
  }
  process->Signal(SIGTERM);
  const std::string rest = process->ReadAll();
  ASSERT_EQ(process->Wait(), kStopped) << ReadFile(run_.File("err"));
  EXPECT_THAT(rest, Not(HasSubstr("| valid |")));
  EXPECT_EQ(run_.SavedUpdate("validating"), 3);

  const Outcome resumed = RunProgram("spanlm-train", arguments);
  EXPECT_EQ(resumed.exit_code, 0) << resumed.err;
  EXPECT_THAT(resumed.out, HasSubstr("| valid |"));
}

TEST_F(TrainStopTest, WritesABareTaggedObjectALineAndAppendsToThem) {
  for (const int until : {2, 3}) {
    ASSERT_EQ(
        RunProgram("spanlm-train", run_.Arguments("run", until)).exit_code, 0);
  }
  std::istringstream lines(ReadFile(run_.File("run/train.jsonl")));
  std::vector<std::string> tags;
  for (std::string line; std::getline(lines, line);) {
    const nlohmann::json object = nlohmann::json::parse(line, nullptr, false);
    ASSERT_TRUE(object.is_object()) << line;
    tags.push_back(object.value("tag", "none"));
  }
  EXPECT_THAT(tags, ElementsAre("train_inner", "train_inner", "valid", "spans",
                                "serving", "train", "train_inner", "valid",
                                "spans", "serving", "train"));
}

}  // namespace
}  // namespace spanlm
