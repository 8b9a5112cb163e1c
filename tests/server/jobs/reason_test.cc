// SPDX-License-Identifier: Apache-2.0
#include "server/jobs/reason.h"

#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace spanlm {
namespace {

TEST(ReasonTest, KeepsCodeAndMessageAndAddsTheReason) {
  const absl::Status status =
      WithReason(absl::UnavailableError("later"), kReasonDraining);

  EXPECT_THAT(status, StatusIs(absl::StatusCode::kUnavailable, "later"));
  EXPECT_EQ(ReasonOf(status), "DRAINING");
}

TEST(ReasonTest, TheLastReasonCounts) {
  EXPECT_EQ(
      ReasonOf(WithReason(WithReason(absl::InternalError(""), kReasonInvariant),
                          kReasonNan)),
      "NAN");
}

TEST(ReasonTest, IsEmptyWhereNoneWasGiven) {
  EXPECT_EQ(ReasonOf(absl::InternalError("")), "");
  EXPECT_EQ(ReasonOf(WithReason(absl::OkStatus(), kReasonNan)), "");
}

}  // namespace
}  // namespace spanlm
