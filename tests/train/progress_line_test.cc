// SPDX-License-Identifier: Apache-2.0
#include "train/progress_line.h"

#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace spanlm {
namespace {

using ::testing::HasSubstr;

TEST(ProgressLineTest, ShowsShareRateAndTimeLeft) {
  const std::string line =
      FormatProgress("eval", 250, 1000, "bytes", absl::Seconds(5));

  EXPECT_THAT(line, HasSubstr("eval [######..................]  25%"));
  EXPECT_THAT(line, HasSubstr("250/1000 bytes, 50/s, 15s left"));
}

TEST(ProgressLineTest, HoldsAtTheEdges) {
  EXPECT_THAT(FormatProgress("a", 0, 10, "bytes", absl::ZeroDuration()),
              HasSubstr("  0%"));
  EXPECT_THAT(FormatProgress("a", 0, 0, "bytes", absl::Seconds(1)),
              HasSubstr("100%"));
  EXPECT_THAT(FormatProgress("a", 12, 10, "bytes", absl::Seconds(1)),
              HasSubstr("[########################] 100%"));
}

TEST(ProgressLineTest, IsSilentWhereStderrIsNoTerminal) {
  testing::internal::CaptureStderr();
  {
    ProgressLine line("eval", 10, "bytes");
    line.Update(5);
    line.Update(10);
  }
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

}  // namespace
}  // namespace spanlm
