// SPDX-License-Identifier: Apache-2.0
#include "train/loss_scaler.h"

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace spanlm {
namespace {

using ::testing::HasSubstr;

LossScalerOptions Window(int64_t window) {
  LossScalerOptions options;
  options.window = window;
  return options;
}

TEST(LossScalerTest, DoublesAfterEachWindowOfCleanSteps) {
  LossScaler scaler(Window(4), 1);
  // Counted from the step before the first, as fairseq counts.
  for (const double scale : {128, 128, 128, 256, 256, 256, 256, 512}) {
    scaler.CountClean();
    EXPECT_EQ(scaler.scale(), scale);
  }
}

TEST(LossScalerTest, HalvesAtAnOverflowAndCountsItsWindowFromThere) {
  LossScaler scaler(Window(4), 1);
  scaler.CountClean();
  scaler.CountClean();
  EXPECT_OK(scaler.CountOverflow());
  EXPECT_EQ(scaler.scale(), 64);
  for (const double scale : {64, 64, 64, 128}) {
    scaler.CountClean();
    EXPECT_EQ(scaler.scale(), scale);
  }
}

TEST(LossScalerTest, TheWindowFollowsTheBatchesOfAStep) {
  LossScaler four(LossScalerOptions(), 1 << 12);  // a window of four
  for (int i = 0; i < 3; ++i) four.CountClean();
  EXPECT_EQ(four.scale(), 128);
  four.CountClean();
  EXPECT_EQ(four.scale(), 256);
}

TEST(LossScalerTest, RefusesToFallToItsBound) {
  LossScalerOptions options;
  options.min_scale = 16;
  LossScaler scaler(options, 1);
  EXPECT_OK(scaler.CountOverflow());
  EXPECT_OK(scaler.CountOverflow());
  EXPECT_THAT(scaler.CountOverflow(),
              StatusIs(absl::StatusCode::kInternal,
                       HasSubstr("loss scale of 32, its bound is 16")));
  EXPECT_EQ(scaler.scale(), 32);
}

TEST(LossScalerTest, GoesOnFromItsState) {
  LossScaler whole(Window(3), 1);
  LossScaler resumed(Window(3), 1);
  for (int i = 0; i < 20; ++i) {
    resumed.Restore(whole.state());
    if (i % 7 == 5) {
      EXPECT_OK(whole.CountOverflow());
      EXPECT_OK(resumed.CountOverflow());
    } else {
      whole.CountClean();
      resumed.CountClean();
    }
    EXPECT_EQ(resumed.scale(), whole.scale());
  }
}

}  // namespace
}  // namespace spanlm
