// SPDX-License-Identifier: Apache-2.0
#include "train/checkpoints.h"

#include <filesystem>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace spanlm {
namespace {

using ::testing::UnorderedElementsAre;

class CheckpointsTest : public testing::Test {
 protected:
  // A model directory: a folder that holds a file.
  void Make(const std::string& name) const {
    std::filesystem::create_directories(folder_.File(name));
    folder_.Write(name + "/config.json", "{}");
  }
  std::vector<std::string> Left() const {
    std::vector<std::string> names;
    for (const auto& entry :
         std::filesystem::directory_iterator(folder_.path())) {
      names.push_back(entry.path().filename());
    }
    return names;
  }

  const TempDir folder_;
};

TEST_F(CheckpointsTest, KeepsTheLastEpochsByNumberAndAllElse) {
  for (const char* name :
       {"checkpoint2", "checkpoint9", "checkpoint10", "checkpoint11",
        "checkpoint_last", "checkpoint_best", "checkpoint_3_40", "checkpoint",
        "checkpoint1_of_mine", "other7"}) {
    Make(name);
  }
  folder_.Write("train.jsonl", "");

  ASSERT_OK(KeepLastEpochs(folder_.path(), 2));

  EXPECT_THAT(Left(), UnorderedElementsAre(
                          "checkpoint10", "checkpoint11", "checkpoint_last",
                          "checkpoint_best", "checkpoint_3_40", "checkpoint",
                          "checkpoint1_of_mine", "other7", "train.jsonl"));
}

TEST_F(CheckpointsTest, KeepsTheLastUpdatesWhateverTheirEpoch) {
  for (const char* name :
       {"checkpoint_10_90", "checkpoint_9_200", "checkpoint_8_1000",
        "checkpoint_last", "checkpoint_best", "checkpoint5", "checkpoint_7",
        "checkpoint_1_2_3", "checkpoint_1_x"}) {
    Make(name);
  }

  ASSERT_OK(KeepLastUpdates(folder_.path(), 1));

  EXPECT_THAT(Left(), UnorderedElementsAre(
                          "checkpoint_8_1000", "checkpoint_last",
                          "checkpoint_best", "checkpoint5", "checkpoint_7",
                          "checkpoint_1_2_3", "checkpoint_1_x"));
}

TEST_F(CheckpointsTest, KeepsAllWhereNoNumberIsGiven) {
  for (const char* name : {"checkpoint1", "checkpoint2", "checkpoint_1_4"}) {
    Make(name);
  }

  for (const int32_t none : {-1, 0}) {
    ASSERT_OK(KeepLastEpochs(folder_.path(), none));
    ASSERT_OK(KeepLastUpdates(folder_.path(), none));
  }
  ASSERT_OK(KeepLastEpochs(folder_.path(), 3));
  EXPECT_THAT(Left(), UnorderedElementsAre("checkpoint1", "checkpoint2",
                                           "checkpoint_1_4"));
}

TEST_F(CheckpointsTest, NamesAFolderThatIsNotThere) {
  EXPECT_THAT(
      KeepLastEpochs(folder_.File("gone"), 1),
      StatusIs(absl::StatusCode::kUnavailable, folder_.File("gone").c_str()));
}

TEST_F(CheckpointsTest, FindsAFolderByNameByPathAndByFairseqsName) {
  Make("run/checkpoint_last");
  Make("elsewhere");
  const std::string run = folder_.File("run");
  const std::string inside = run + "/checkpoint_last";
  const std::string path = folder_.File("elsewhere");

  EXPECT_EQ(FindCheckpoint(run, "checkpoint_last"), inside);
  EXPECT_EQ(FindCheckpoint(run, "checkpoint_last.pt"), inside);
  EXPECT_EQ(FindCheckpoint(run, path), path);
  EXPECT_EQ(FindCheckpoint(run, path + ".pt"), path);
}

TEST_F(CheckpointsTest, FindsNothingWhereNoFolderHasTheName) {
  Make("run/checkpoint_last");
  folder_.Write("run/checkpoint7", "a file");
  const std::string run = folder_.File("run");

  EXPECT_EQ(FindCheckpoint(run, "checkpoint_best"), "");
  EXPECT_EQ(FindCheckpoint(run, "checkpoint7"), "");
  EXPECT_EQ(FindCheckpoint(run, ""), "");
  EXPECT_EQ(FindCheckpoint(folder_.File("gone"), "checkpoint_last"), "");
}

}  // namespace
}  // namespace spanlm
