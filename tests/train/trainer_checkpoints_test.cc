// SPDX-License-Identifier: Apache-2.0
// Which checkpoints a run keeps, and when it has had enough.
#include <algorithm>
#include <memory>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/train/trainer_fixture.h"

namespace spanlm {
namespace {

using ::testing::Contains;
using ::testing::EndsWith;
using ::testing::StartsWith;
using ::testing::UnorderedElementsAre;

TEST_F(TrainerTest, KeepsTheLastOfEachKindOfCheckpoint) {
  TrainOptions options = AdaptiveSpanRun(Random(), SaveDir());
  options.max_epoch = 4;  // of six updates
  options.keep_last_epochs = 2;
  options.save_interval_updates = 4;
  options.keep_interval_updates = 1;
  ASSERT_OK_AND_ASSIGN(const auto trainer,
                       Trainer::Create(options, &stop_, group_.get()));

  ASSERT_OK(trainer->Run());

  const int64_t last = trainer->progress().update / 4 * 4;
  EXPECT_THAT(
      Folders(),
      UnorderedElementsAre("checkpoint_last", "checkpoint_best", "checkpoint3",
                           "checkpoint4", StartsWith("checkpoint_")));
  EXPECT_THAT(Folders(), Contains(EndsWith("_" + std::to_string(last))));
}

TEST_F(TrainerTest, WritesNoEpochCheckpointsWhereNoneAreWanted) {
  TrainOptions options = AdaptiveSpanRun(Random(), SaveDir());
  options.max_epoch = 2;
  options.epoch_checkpoints = false;
  ASSERT_OK_AND_ASSIGN(const auto trainer,
                       Trainer::Create(options, &stop_, group_.get()));

  ASSERT_OK(trainer->Run());

  EXPECT_THAT(Folders(),
              UnorderedElementsAre("checkpoint_last", "checkpoint_best"));
}

TEST_F(TrainerTest, EndsWhenValidationsNoLongerImprove) {
  TrainOptions options = AdaptiveSpanRun(
      WriteCorpus(folder_, std::string(400, 'a'), RandomText(100, 2)),
      SaveDir());
  options.validate_interval_updates = 1;
  options.patience = 3;
  ASSERT_OK_AND_ASSIGN(const auto trainer,
                       Trainer::Create(options, &stop_, group_.get()));

  ASSERT_OK(trainer->Run());

  const nlohmann::json best = nlohmann::json::parse(
      ReadFile(SaveDir() + "/checkpoint_best/training.json"));
  EXPECT_GE(trainer->progress().worse_validations, 3);
  EXPECT_EQ(trainer->progress().update, best["update"].get<int64_t>() + 3);
}

// Whoever ends is validated once, and a run that has ended does nothing more.
TEST_F(TrainerTest, StartedAgainAtItsEndARunDoesNothing) {
  TrainOptions options = AdaptiveSpanRun(
      WriteCorpus(folder_, std::string(400, 'a'), RandomText(100, 2)),
      SaveDir());
  options.validate_interval_updates = 1;
  options.patience = 3;
  ASSERT_OK_AND_ASSIGN(auto trainer,
                       Trainer::Create(options, &stop_, group_.get()));
  ASSERT_OK(trainer->Run());
  EXPECT_EQ(trainer->progress().worse_validations, 3);
  const int64_t updates = trainer->progress().update;
  EXPECT_EQ(LogLines(SaveDir(), "valid").size(), updates);
  const std::string saved =
      ReadFile(SaveDir() + "/checkpoint_last/training.json");

  ASSERT_OK_AND_ASSIGN(trainer, Trainer::Create(options, &stop_, group_.get()));
  ASSERT_OK(trainer->Run());

  EXPECT_EQ(LogLines(SaveDir(), "valid").size(), updates);
  EXPECT_EQ(ReadFile(SaveDir() + "/checkpoint_last/training.json"), saved);
}

TEST_F(TrainerTest, PatienceNeedsAValidPartThatFillsItsRows) {
  TrainOptions options = AdaptiveSpanRun(
      WriteCorpus(folder_, RandomText(400, 1), "abc"), SaveDir());
  options.schedule.max_update = 2;
  ASSERT_OK_AND_ASSIGN(const auto without,
                       Trainer::Create(options, &stop_, group_.get()));
  EXPECT_OK(without->Run());

  options.save_dir = folder_.File("patient");
  options.patience = 1;
  ASSERT_OK_AND_ASSIGN(const auto trainer,
                       Trainer::Create(options, &stop_, group_.get()));
  EXPECT_THAT(trainer->Run(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       "--patience is 1, but the valid part, 3 symbols, is too "
                       "short for 4 rows"));
}

TEST_F(TrainerTest, KeepsTheBestValidation) {
  TrainOptions options = AdaptiveSpanRun(
      WriteCorpus(folder_, std::string(400, 'a'), RandomText(100, 2)),
      SaveDir());
  options.schedule.max_update = 20;
  options.validate_interval_updates = 1;
  ASSERT_OK_AND_ASSIGN(const auto trainer,
                       Trainer::Create(options, &stop_, group_.get()));

  ASSERT_OK(trainer->Run());

  // Learning a text of one letter soon makes every other one worse.
  const auto valid = LogLines(SaveDir(), "valid");
  const auto loss = [](const nlohmann::json& line) {
    return std::stod(line["valid_loss"].get<std::string>());
  };
  const auto lowest = std::min_element(
      valid.begin(), valid.end(),
      [&](const auto& a, const auto& b) { return loss(a) < loss(b); });
  const nlohmann::json best = nlohmann::json::parse(
      ReadFile(SaveDir() + "/checkpoint_best/training.json"));
  EXPECT_LT(best["update"], 20);
  EXPECT_EQ(best["update"], lowest - valid.begin() + 1);
  EXPECT_EQ(best["best_loss"], trainer->progress().best_loss);
  EXPECT_NEAR(best["best_loss"], loss(*lowest), 1e-4);
}

}  // namespace
}  // namespace spanlm
