// SPDX-License-Identifier: Apache-2.0
#include "train/schedule.h"

#include <cmath>

#include "gtest/gtest.h"

namespace spanlm {
namespace {

TEST(ScheduleTest, WarmsUpAsThePublishedRecipe) {
  ScheduleOptions options;
  options.lr = 0.07;
  options.warmup_updates = 32000;

  EXPECT_DOUBLE_EQ(LearningRate(options, 1, 0), 0.07 / 32000);
  EXPECT_DOUBLE_EQ(LearningRate(options, 26, 0), 5.6875e-5);  // a logged line
  EXPECT_LT(LearningRate(options, 31999, 0), 0.07);
  EXPECT_DOUBLE_EQ(LearningRate(options, 32000, 0), 0.07);
  EXPECT_DOUBLE_EQ(LearningRate(options, 600000, 0), 0.07);
}

TEST(ScheduleTest, IsFullFromTheStartWithoutWarmUp) {
  ScheduleOptions options;
  options.lr = 0.07;
  EXPECT_EQ(LearningRate(options, 1, 0), 0.07);
}

TEST(ScheduleTest, CosineFallsFromTheFirstUpdateToNothing) {
  ScheduleOptions options;
  options.scheduler = LrScheduler::kCosine;
  options.lr = 2.5e-4;
  options.max_update = 400000;

  EXPECT_DOUBLE_EQ(LearningRate(options, 1, 0), 2.5e-4);
  EXPECT_DOUBLE_EQ(LearningRate(options, 200001, 0), 1.25e-4);
  EXPECT_DOUBLE_EQ(LearningRate(options, 100001, 0),
                   1.25e-4 * (1 + std::sqrt(0.5)));
  EXPECT_NEAR(LearningRate(options, 400001, 0), 0, 1e-18);
  EXPECT_NEAR(LearningRate(options, 500000, 0), 0, 1e-18);
}

TEST(ScheduleTest, CosineRisesFirstThenFallsOverTheRest) {
  ScheduleOptions options;
  options.scheduler = LrScheduler::kCosine;
  options.lr = 1;
  options.warmup_updates = 10;
  options.max_update = 30;

  EXPECT_DOUBLE_EQ(LearningRate(options, 1, 0), 0.1);
  EXPECT_DOUBLE_EQ(LearningRate(options, 10, 0), 1);
  EXPECT_DOUBLE_EQ(LearningRate(options, 11, 0), 1);
  EXPECT_DOUBLE_EQ(LearningRate(options, 21, 0), 0.5);
  EXPECT_NEAR(LearningRate(options, 31, 0), 0, 1e-15);
}

TEST(ScheduleTest, CosineFollowsTheClockWhereSecondsAreItsPeriod) {
  ScheduleOptions options;
  options.scheduler = LrScheduler::kCosine;
  options.lr = 1;
  options.warmup_updates = 4;
  options.max_seconds = 100;

  EXPECT_DOUBLE_EQ(LearningRate(options, 1, 0), 0.25);
  EXPECT_DOUBLE_EQ(LearningRate(options, 2, 50), 0.25);
  EXPECT_DOUBLE_EQ(LearningRate(options, 4, 0), 1);
  EXPECT_DOUBLE_EQ(LearningRate(options, 900, 50), 0.5);
  EXPECT_NEAR(LearningRate(options, 900, 100), 0, 1e-15);
  EXPECT_NEAR(LearningRate(options, 900, 150), 0, 1e-15);
}

}  // namespace
}  // namespace spanlm
