// SPDX-License-Identifier: Apache-2.0
#include "engine/cache/span_layout.h"

#include <limits>

#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace spanlm {
namespace {

constexpr absl::StatusCode kInvalid = absl::StatusCode::kInvalidArgument;

TEST(SpanLayoutTest, GivesEachHeadItsReachRoundedUpToABlock) {
  ASSERT_OK_AND_ASSIGN(SpanLayout layout,
                       SpanLayout::Create({10, 4096, 33}, {10, 4096, 33},
                                          /*head_dim=*/64));

  EXPECT_EQ(layout.heads(), 3);
  EXPECT_EQ(layout.key_capacity(0), 32);
  EXPECT_EQ(layout.value_capacity(0), 32);
  EXPECT_EQ(layout.key_capacity(1), 4096);
  EXPECT_EQ(layout.key_capacity(2), 64);
}

TEST(SpanLayoutTest, RingsFollowEachOtherWithoutGapsOrOverlap) {
  ASSERT_OK_AND_ASSIGN(SpanLayout layout,
                       SpanLayout::Create({10, 40, 1}, {64, 64, 64}, 3));

  int64_t end = 0;
  for (int h = 0; h < layout.heads(); ++h) {
    EXPECT_EQ(layout.key_offset(h), end);
    end += int64_t{layout.key_capacity(h)} * 3;
    EXPECT_EQ(layout.value_offset(h), end);
    end += int64_t{layout.value_capacity(h)} * 3;
  }
  EXPECT_EQ(layout.size(), end);
  EXPECT_EQ(layout.size(), (64 + 32 + 64 + 64 + 64 + 32) * 3);
}

TEST(SpanLayoutTest, KeepsKeysForTheWindowAndValuesForTheReach) {
  ASSERT_OK_AND_ASSIGN(SpanLayout layout,
                       SpanLayout::Create({32, 100}, {128, 128}, 16));

  EXPECT_EQ(layout.reach(0), 32);
  EXPECT_EQ(layout.window(0), 128);
  EXPECT_EQ(layout.key_capacity(0), 128);
  EXPECT_EQ(layout.value_capacity(0), 32);
  EXPECT_EQ(layout.value_capacity(1), 128);
}

TEST(SpanLayoutTest, RefusesReachBelowOneAndNamesTheHead) {
  EXPECT_THAT(SpanLayout::Create({10, 0}, {10, 10}, 64),
              StatusIs(kInvalid, "head 1: reach 0"));
}

TEST(SpanLayoutTest, RefusesAWindowBelowTheReachAndNamesTheHead) {
  EXPECT_THAT(SpanLayout::Create({10, 20}, {10, 19}, 64),
              StatusIs(kInvalid, "head 1: window 19"));
}

TEST(SpanLayoutTest, RefusesNoHeadsUnequalListsAndNoDims) {
  EXPECT_THAT(SpanLayout::Create({}, {}, 64), StatusIs(kInvalid, "0 reaches"));
  EXPECT_THAT(SpanLayout::Create({1, 2}, {1}, 64),
              StatusIs(kInvalid, "2 reaches and 1 windows"));
  EXPECT_THAT(SpanLayout::Create({1}, {1}, 0),
              StatusIs(kInvalid, "head_dim 0"));
}

TEST(SpanLayoutTest, RefusesSizesThatWouldWrap) {
  constexpr int32_t kHuge = std::numeric_limits<int32_t>::max();

  EXPECT_THAT(SpanLayout::Create({1}, {kHuge}, 1),
              StatusIs(kInvalid, "head 0"));
  EXPECT_THAT(SpanLayout::Create({kHuge - 31, kHuge - 31, kHuge - 31},
                                 {kHuge - 31, kHuge - 31, kHuge - 31}, kHuge),
              StatusIs(kInvalid, "head 1"));
}

}  // namespace
}  // namespace spanlm
