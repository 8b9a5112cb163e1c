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
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace spanlm {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr int kStopped = 75;

class TrainStopTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string text;
    for (int i = 0; i < 6000; ++i) text += static_cast<char>(i * i % 251);
    const std::string raw = folder_.Write("raw", text);
    const Outcome outcome = RunProgram(
        "spanlm-train", {"preprocess", "--raw", raw, "--destdir",
                         folder_.File("corpus"), "--split", "5600,200,200"});
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  }

  std::vector<std::string> Arguments(const std::string& save_dir,
                                     int max_update) const {
    return {"train",
            folder_.File("corpus"),
            "--save-dir",
            folder_.File(save_dir),
            "--n-layer",
            "1",
            "--d-model",
            "16",
            "--n-head",
            "2",
            "--d-inner",
            "16",
            "--attn-span",
            "64",
            "--dropout",
            "0.1",
            "--batch-size",
            "2",
            "--tokens-per-sample",
            "16",
            "--log-interval",
            "1",
            "--threads",
            "1",
            "--lr-scheduler",
            "fixed",
            "--max-update",
            absl::StrCat(max_update)};
  }
  std::string Digest(const std::string& save_dir) const {
    const Outcome outcome =
        RunProgram("spanlm-train",
                   {"inspect", folder_.File(save_dir + "/checkpoint_last")});
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    std::istringstream lines(outcome.out);
    for (std::string line; std::getline(lines, line);) {
      if (absl::StrContains(line, "digest")) return line;
    }
    ADD_FAILURE() << "no digest in " << outcome.out;
    return "";
  }
  int64_t SavedUpdate(const std::string& save_dir) const {
    return nlohmann::json::parse(ReadFile(
        folder_.File(save_dir + "/checkpoint_last/training.json")))["update"];
  }

  const TempDir folder_;
};

TEST_F(TrainStopTest, SavesOnSigtermAndGoesOnToTheSameModel) {
  // Far more than could be done before the signal arrives.
  constexpr int kFarAway = 1000000;
  ASSERT_OK_AND_ASSIGN(
      const auto process,
      ChildProcess::Start("spanlm-train", Arguments("cut", kFarAway),
                          folder_.File("err")));
  int updates = 0;
  while (updates < 5) {
    ASSERT_OK_AND_ASSIGN(const std::string line, process->ReadLine());
    if (absl::StrContains(line, "train_inner")) ++updates;
  }
  process->Signal(SIGTERM);
  const std::string rest = process->ReadAll();
  ASSERT_EQ(process->Wait(), kStopped) << ReadFile(folder_.File("err"));
  EXPECT_THAT(rest, HasSubstr("; start again to go on"));
  const int64_t cut = SavedUpdate("cut");
  EXPECT_GE(cut, 5);

  const int until = static_cast<int>(cut) + 20;
  const Outcome resumed = RunProgram("spanlm-train", Arguments("cut", until));
  ASSERT_EQ(resumed.exit_code, 0) << resumed.err;
  EXPECT_THAT(resumed.out, HasSubstr(absl::StrCat("at update ", cut)));
  const Outcome whole = RunProgram("spanlm-train", Arguments("whole", until));
  ASSERT_EQ(whole.exit_code, 0) << whole.err;

  EXPECT_EQ(SavedUpdate("cut"), until);
  EXPECT_EQ(Digest("cut"), Digest("whole"));
}

TEST_F(TrainStopTest, WritesABareTaggedObjectALineAndAppendsToThem) {
  for (const int until : {2, 3}) {
    ASSERT_EQ(RunProgram("spanlm-train", Arguments("run", until)).exit_code, 0);
  }
  std::istringstream lines(ReadFile(folder_.File("run/train.jsonl")));
  std::vector<std::string> tags;
  for (std::string line; std::getline(lines, line);) {
    const nlohmann::json object = nlohmann::json::parse(line, nullptr, false);
    ASSERT_TRUE(object.is_object()) << line;
    tags.push_back(object.value("tag", "none"));
  }
  EXPECT_THAT(tags,
              ElementsAre("train_inner", "train_inner", "valid", "serving",
                          "train", "train_inner", "valid", "serving", "train"));
}

}  // namespace
}  // namespace spanlm
