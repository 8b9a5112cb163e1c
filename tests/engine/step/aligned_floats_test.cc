// SPDX-License-Identifier: Apache-2.0
#include "engine/step/aligned_floats.h"

#include <cstdint>
#include <limits>
#include <utility>

#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace spanlm {
namespace {

TEST(AlignedFloatsTest, IsAlignedAndZeroFromEndToEnd) {
  for (const int64_t size : {1, 17, 1 << 21}) {
    ASSERT_OK_AND_ASSIGN(AlignedFloats floats, AlignedFloats::Create(size));

    EXPECT_EQ(floats.size(), size);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(floats.data()) % 64, 0U);
    EXPECT_EQ(floats.data()[0], 0);
    EXPECT_EQ(floats.data()[size - 1], 0);
    floats.data()[size - 1] = 1;
  }
}

TEST(AlignedFloatsTest, MovingHandsTheFloatsOver) {
  ASSERT_OK_AND_ASSIGN(AlignedFloats first, AlignedFloats::Create(4));
  const float* data = first.data();

  const AlignedFloats second = std::move(first);

  EXPECT_EQ(second.data(), data);
  EXPECT_EQ(second.size(), 4);
  EXPECT_EQ(first.data(), nullptr);  // NOLINT(bugprone-use-after-move)
}

TEST(AlignedFloatsTest, NoneAreNoMemoryAndTooManyAreRefused) {
  ASSERT_OK_AND_ASSIGN(const AlignedFloats none, AlignedFloats::Create(0));

  EXPECT_EQ(none.data(), nullptr);
  EXPECT_EQ(none.size(), 0);
  EXPECT_THAT(AlignedFloats::Create(std::numeric_limits<int64_t>::max()),
              StatusIs(absl::StatusCode::kResourceExhausted, "no room for"));
  EXPECT_THAT(AlignedFloats::Create(int64_t{1} << 60),
              StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(AlignedFloats::Create(-1),
              StatusIs(absl::StatusCode::kResourceExhausted));
}

}  // namespace
}  // namespace spanlm
