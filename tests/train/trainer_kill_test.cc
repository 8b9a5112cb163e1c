// SPDX-License-Identifier: Apache-2.0
// A run that is killed anywhere, writes of checkpoints included, goes on as if
// it had not been. Processes are forked, so that a hundred of them take
// seconds; this test is alone in its program, which has no thread before the
// first fork.
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <random>
#include <string>

#include "absl/strings/match.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/train/tiny_run.h"
#include "train/trainer.h"

namespace spanlm {
namespace {

constexpr int kKills = 100;

class TrainerKillTest : public ::testing::Test {
 protected:
  // Saves at every update, under a name of its own too.
  TrainOptions Options(const std::string& save_dir) const {
    TrainOptions options = AdaptiveSpanRun(data_, folder_.File(save_dir));
    options.threads = 1;
    options.log_to_stdout = true;
    options.save_interval_updates = 1;
    options.keep_interval_updates = 2;
    options.validate_interval_updates = 3;
    options.keep_last_epochs = 1;
    return options;
  }

  absl::Status Train(const TrainOptions& options) const {
    const std::atomic<bool> stop{false};
    const auto group = ProcessGroup::Alone();
    const auto trainer = Trainer::Create(options, &stop, group.get());
    return trainer.ok() ? (*trainer)->Run().status() : trainer.status();
  }

  // Starts an endless run in a process of its own and kills it so long after
  // so many lines of its log.
  void TrainAndKill(uint32_t lines, absl::Duration later) {
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      dup2(ends[1], STDOUT_FILENO);
      close(ends[0]);
      _exit(Train(Options("killed")).ok() ? 0 : 1);
    }
    close(ends[1]);
    char byte = 0;
    while (lines > 0 && read(ends[0], &byte, 1) == 1) {
      if (byte == '\n') --lines;
    }
    EXPECT_EQ(lines, 0U) << "it ended by itself";
    // Spins: sleeping or yielding is much longer where others are busy.
    const absl::Time end = absl::Now() + later;
    while (absl::Now() < end) {
    }
    kill(child, SIGKILL);
    int status = 0;
    waitpid(child, &status, 0);
    close(ends[0]);
    EXPECT_TRUE(WIFSIGNALED(status)) << status;
  }

  int64_t SavedUpdate() const {
    const std::string path =
        folder_.File("killed/checkpoint_last/training.json");
    if (!std::filesystem::exists(path)) return 0;
    return nlohmann::json::parse(ReadFile(path))["update"];
  }

  const TempDir folder_;
  const std::string data_ =
      WriteCorpus(folder_, RandomText(400, 1), RandomText(100, 2));
};

TEST_F(TrainerKillTest, AHundredKillsChangeNoBit) {
  std::mt19937 random(20261126);
  int64_t furthest = 0;
  for (int i = 0; i < kKills; ++i) {
    ASSERT_NO_FATAL_FAILURE(
        TrainAndKill(1 + random() % 8, absl::Microseconds(random() % 3000)));
    // No older than it was; that it is whole shows when the next one opens it.
    EXPECT_GE(SavedUpdate(), furthest) << "kill " << i + 1;
    furthest = SavedUpdate();
  }
  ASSERT_GT(furthest, kKills / 4) << "kills came too early to matter";

  for (const char* save_dir : {"killed", "whole"}) {
    TrainOptions options = Options(save_dir);
    options.schedule.max_update = furthest + 20;
    ASSERT_OK(Train(options));
  }
  for (const char* file : {"model.safetensors", "training.safetensors"}) {
    const std::string name = std::string("/checkpoint_last/") + file;
    EXPECT_TRUE(ReadFile(folder_.File("killed" + name)) ==
                ReadFile(folder_.File("whole" + name)))
        << file;
  }
  for (const auto& entry :
       std::filesystem::directory_iterator(folder_.File("killed"))) {
    EXPECT_FALSE(absl::StrContains(entry.path().filename().string(), ".tmp"))
        << entry.path() << " was left behind";
  }
}

}  // namespace
}  // namespace spanlm
