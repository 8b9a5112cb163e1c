// SPDX-License-Identifier: Apache-2.0
#include "base/bits_total.h"

#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "tests/support/status_matchers.h"

namespace spanlm {
namespace {

TEST(BitsTotalTest, CountsUniformBytesAsExactlyEightBits) {
  BitsTotal total;
  total.AddUniformBytes(3);

  EXPECT_EQ(total.bits(), 24.0);
  EXPECT_EQ(total.ToString(), "103079215104");  // 24 * 2^32
}

TEST(BitsTotalTest, RoundsEachLikelihoodToTheNearestUnit) {
  BitsTotal total;
  total.Add(std::log(2.0F));  // 1 bit, but for the float's own rounding

  EXPECT_NEAR(total.bits(), 1.0, 1e-7);
  EXPECT_EQ(total.units(),
            std::llrint(double{std::log(2.0F)} * 0x1.71547652b82fep0 * 0x1p32));
}

TEST(BitsTotalTest, DoesNotDependOnTheOrderOrGroupingOfItsTerms) {
  std::mt19937 random(7);
  std::vector<float> terms(1000);
  for (float& term : terms) {
    term = std::uniform_real_distribution<float>(0, 20)(random);
  }
  BitsTotal forward;
  for (float term : terms) forward.Add(term);
  BitsTotal halves[2];
  for (size_t i = terms.size(); i-- > 0;) halves[i % 2].Add(terms[i]);
  halves[0] += halves[1];

  EXPECT_EQ(forward, halves[0]);
  halves[0] -= halves[1];
  halves[0] += halves[1];
  EXPECT_EQ(forward, halves[0]);
}

TEST(BitsTotalTest, SurvivesTextAndTwoIntegers) {
  for (const char* text : {"0", "-1", "4294967296", "-18446744073709551616",
                           "99999999999999999999999999999999999999"}) {
    ASSERT_OK_AND_ASSIGN(BitsTotal total, BitsTotal::Parse(text));

    EXPECT_EQ(total.ToString(), text);
    EXPECT_EQ(BitsTotal::FromHighLow(total.high(), total.low()), total);
  }
}

TEST(BitsTotalTest, RefusesTextThatIsNoIntegerAndQuotesIt) {
  for (const char* text : {"", "-", "1.5", " 1", "0x10",
                           "999999999999999999999999999999999999999"}) {
    EXPECT_THAT(BitsTotal::Parse(text),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         testing::HasSubstr(std::string("\"") + text + "\"")));
  }
}

}  // namespace
}  // namespace spanlm
