// SPDX-License-Identifier: Apache-2.0
#include "train/exit_codes.h"

#include "gtest/gtest.h"

namespace spanlm {
namespace {

TEST(ExitCodesTest, TellUsageDataIoAndOtherFailuresApart) {
  EXPECT_EQ(ExitCode(absl::OkStatus()), 0);
  EXPECT_EQ(ExitCode(absl::InvalidArgumentError("")), 64);
  EXPECT_EQ(ExitCode(absl::UnimplementedError("")), 64);
  EXPECT_EQ(ExitCode(absl::NotFoundError("")), 65);
  EXPECT_EQ(ExitCode(absl::DataLossError("")), 65);
  EXPECT_EQ(ExitCode(absl::FailedPreconditionError("")), 65);
  EXPECT_EQ(ExitCode(absl::InternalError("")), 70);
  EXPECT_EQ(ExitCode(absl::ResourceExhaustedError("")), 70);
  EXPECT_EQ(ExitCode(absl::UnavailableError("")), 74);
}

TEST(ExitCodesTest, ReportSaysTheMessageOnceAndNothingOnSuccess) {
  testing::internal::CaptureStderr();
  EXPECT_EQ(Report(absl::DataLossError("model.pt: truncated")), 65);
  EXPECT_EQ(testing::internal::GetCapturedStderr(),
            "spanlm-train: model.pt: truncated\n");

  testing::internal::CaptureStderr();
  EXPECT_EQ(Report(absl::OkStatus()), 0);
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

}  // namespace
}  // namespace spanlm
