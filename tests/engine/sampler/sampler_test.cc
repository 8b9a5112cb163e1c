// SPDX-License-Identifier: Apache-2.0
#include "engine/sampler.h"

#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace spanlm {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();
using LogProbs = std::array<float, 256>;

// The bytes named get their probabilities, the others none.
LogProbs Only(const std::vector<std::pair<uint8_t, double>>& shares) {
  LogProbs log_probs;
  log_probs.fill(kNever);
  for (const auto& [byte, share] : shares) {
    log_probs[byte] = static_cast<float>(std::log(share));
  }
  return log_probs;
}

LogProbs Random(std::mt19937* random) {
  LogProbs log_probs;
  double sum = 0;
  for (float& value : log_probs) {
    value = static_cast<float>((*random)() % 8000) / 1000.0F;
    sum += std::exp(value);
  }
  for (float& value : log_probs) value -= static_cast<float>(std::log(sum));
  return log_probs;
}

// How often each byte comes in draws 0 … count − 1.
std::array<int, 256> Draw(const LogProbs& log_probs,
                          const SamplingOptions& options, int count) {
  std::array<int, 256> counts{};
  for (int i = 0; i < count; ++i) {
    ++counts[SampleByte(log_probs, {}, options, i).byte];
  }
  return counts;
}

TEST(SamplerTest, DrawsTheSameByteForTheSameSeedAndPosition) {
  std::mt19937 random(1);
  const LogProbs log_probs = Random(&random);
  SamplingOptions options;
  options.seed = 7;

  std::vector<uint8_t> forward, backward;
  for (int i = 0; i < 200; ++i) {
    forward.push_back(SampleByte(log_probs, {}, options, i).byte);
  }
  for (int i = 199; i >= 0; --i) {
    backward.insert(backward.begin(),
                    SampleByte(log_probs, {}, options, i).byte);
  }

  EXPECT_EQ(forward, backward);
}

TEST(SamplerTest, DrawsOtherBytesForOtherSeedsAndPositions) {
  std::mt19937 random(2);
  const LogProbs log_probs = Random(&random);
  SamplingOptions one, two;
  two.seed = int64_t{1} << 32;  // differs in the upper half only
  int equal_seeds = 0, equal_positions = 0;
  for (int i = 0; i < 500; ++i) {
    const uint8_t byte = SampleByte(log_probs, {}, one, i).byte;
    equal_seeds += byte == SampleByte(log_probs, {}, two, i).byte;
    equal_positions +=
        byte == SampleByte(log_probs, {}, one, i + (int64_t{1} << 40)).byte;
  }

  EXPECT_LT(equal_seeds, 100);
  EXPECT_LT(equal_positions, 100);
}

// The published first words of Philox4x32-10 for key and counter zero are
// 6627e8d5 e169c58d: a draw of 0.39904… of the way.
TEST(SamplerTest, FollowsThePublishedPhiloxVector) {
  const double first =
      static_cast<double>((uint64_t{0x6627e8d5} << 32 | 0xe169c58d) >> 11) *
      0x1p-53;
  for (int step = -1; step <= 1; step += 2) {
    const double share = first + step * 1e-6;
    const LogProbs log_probs = Only({{10, share}, {20, 1 - share}});

    const SampledByte sampled = SampleByte(log_probs, {}, {}, 0);

    EXPECT_EQ(sampled.byte, step > 0 ? 10 : 20) << share;
  }
}

TEST(SamplerTest, DrawsInProportionToProbability) {
  constexpr int kDraws = 40000;
  const std::vector<std::pair<uint8_t, double>> shares = {
      {0, 0.1}, {97, 0.2}, {255, 0.7}};

  const std::array<int, 256> counts = Draw(Only(shares), {}, kDraws);

  int sum = 0;
  for (const auto& [byte, share] : shares) {
    // Five standard deviations.
    const double bound = 5 * std::sqrt(kDraws * share * (1 - share));
    EXPECT_NEAR(counts[byte], kDraws * share, bound) << int{byte};
    sum += counts[byte];
  }
  EXPECT_EQ(sum, kDraws);
}

TEST(SamplerTest, ReportsTheLogProbabilityOfTheByteDrawn) {
  const LogProbs log_probs = Only({{1, 0.25}, {2, 0.75}});
  for (int i = 0; i < 50; ++i) {
    const SampledByte sampled = SampleByte(log_probs, {}, {}, i);
    EXPECT_NEAR(sampled.sampling_log_prob, log_probs[sampled.byte], 1e-6);
  }
}

TEST(SamplerTest, TakesTheSmallestBestByteAtTemperatureZero) {
  SamplingOptions options;
  options.temperature = 0;

  const SampledByte sampled =
      SampleByte(Only({{9, 0.2}, {40, 0.4}, {200, 0.4}}), {}, options, 5);

  EXPECT_EQ(sampled.byte, 40);
  EXPECT_EQ(sampled.sampling_log_prob, 0);
}

TEST(SamplerTest, TemperatureSharpensAndFlattens) {
  const LogProbs log_probs = Only({{1, 0.2}, {2, 0.8}});
  SamplingOptions options;
  for (const float temperature : {0.5F, 2.0F}) {
    options.temperature = temperature;
    const double odds = std::pow(4.0, 1 / temperature);
    for (int i = 0; i < 20; ++i) {
      const SampledByte sampled = SampleByte(log_probs, {}, options, i);
      const double want = (sampled.byte == 2 ? odds : 1) / (odds + 1);
      EXPECT_NEAR(std::exp(sampled.sampling_log_prob), want, 1e-6);
    }
  }
}

TEST(SamplerTest, SurvivesExtremeTemperatures) {
  std::mt19937 random(3);
  const LogProbs log_probs = Random(&random);
  SamplingOptions options;
  options.temperature = std::numeric_limits<float>::denorm_min();
  const uint8_t coldest = SampleByte(log_probs, {}, options, 1).byte;
  options.temperature = 0;
  EXPECT_EQ(coldest, SampleByte(log_probs, {}, options, 1).byte);
  options.temperature = std::numeric_limits<float>::max();
  EXPECT_NEAR(SampleByte(log_probs, {}, options, 1).sampling_log_prob,
              -std::log(256), 1e-6);
}

TEST(SamplerTest, TopKKeepsTheLikeliestAndBreaksTiesByByteOrder) {
  SamplingOptions options;
  options.top_k = 2;

  const std::array<int, 256> counts =
      Draw(Only({{5, 0.3}, {6, 0.3}, {4, 0.3}, {1, 0.1}}), options, 300);

  EXPECT_GT(counts[4], 0);
  EXPECT_GT(counts[5], 0);
  EXPECT_EQ(counts[4] + counts[5], 300);
}

TEST(SamplerTest, TopPKeepsTheSmallestSetThatReachesIt) {
  SamplingOptions options;
  options.top_p = 0.75F;

  const std::array<int, 256> counts =
      Draw(Only({{1, 0.5}, {2, 0.26}, {3, 0.24}}), options, 300);

  EXPECT_GT(counts[1], 0);
  EXPECT_GT(counts[2], 0);
  EXPECT_EQ(counts[3], 0);
}

TEST(SamplerTest, TopPCountsWhatTopKLeft) {
  SamplingOptions options;
  options.top_k = 2;
  options.top_p = 0.55F;  // of 0.4 + 0.3, the best holds 0.571

  const std::array<int, 256> counts =
      Draw(Only({{1, 0.4}, {2, 0.3}, {3, 0.3}}), options, 200);

  EXPECT_EQ(counts[1], 200);
}

TEST(SamplerTest, MinPIsRelativeToTheBest) {
  SamplingOptions options;
  options.min_p = 0.5F;

  const std::array<int, 256> counts =
      Draw(Only({{1, 0.5}, {2, 0.26}, {3, 0.24}}), options, 300);

  EXPECT_EQ(counts[3], 0);
  EXPECT_GT(counts[2], 0);
}

TEST(SamplerTest, PenaltyDividesTheOddsOfBytesInTheWindow) {
  SamplingOptions options;
  options.repetition_penalty = 4;
  options.repetition_window_bytes = 2;
  const std::vector<uint8_t> recent = {3, 1, 1};  // 3 is outside the window
  const LogProbs log_probs = Only({{1, 0.5}, {3, 0.5}});

  for (int i = 0; i < 20; ++i) {
    const SampledByte sampled = SampleByte(log_probs, recent, options, i);
    EXPECT_NEAR(std::exp(sampled.sampling_log_prob),
                sampled.byte == 1 ? 0.2 : 0.8, 1e-6);
  }
}

TEST(SamplerTest, NeverDrawsAnImpossibleByte) {
  std::mt19937 random(4);
  for (int round = 0; round < 300; ++round) {
    LogProbs log_probs = Random(&random);
    for (float& value : log_probs) {
      if (random() % 3 != 0) value = kNever;
    }
    log_probs[random() % 256] = -1;
    SamplingOptions options;
    options.seed = round;
    options.top_k = static_cast<int32_t>(random() % 257);
    options.top_p = 0.01F + static_cast<float>(random() % 100) / 101.0F;
    options.min_p = static_cast<float>(random() % 100) / 100.0F;
    options.temperature = static_cast<float>(random() % 30) / 10.0F;

    const SampledByte sampled = SampleByte(log_probs, {}, options, round);

    EXPECT_TRUE(std::isfinite(log_probs[sampled.byte]));
    EXPECT_LE(sampled.sampling_log_prob, 0);
  }
}

TEST(SamplerTest, CheckAcceptsDefaultsAndBounds) {
  EXPECT_OK(CheckSampling({}));
  SamplingOptions edge;
  edge.temperature = 0;
  edge.top_k = 256;
  edge.min_p = 1;
  edge.repetition_window_bytes = 65536;
  edge.seed = -1;
  EXPECT_OK(CheckSampling(edge));
}

TEST(SamplerTest, CheckNamesFieldValueAndBound) {
  const float nan = std::nanf("");
  const float infinite = -kNever;
  const auto refuse = [](const char* field, auto set) {
    SamplingOptions options;
    set(&options);
    EXPECT_THAT(CheckSampling(options),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         testing::AllOf(testing::StartsWith(field),
                                        testing::HasSubstr("want"))));
  };
  for (const float bad : {-0.1F, nan, infinite}) {
    refuse("temperature", [bad](auto* o) { o->temperature = bad; });
    refuse("repetition_penalty",
           [bad](auto* o) { o->repetition_penalty = bad; });
  }
  for (const float bad : {0.0F, 1.1F, nan}) {
    refuse("top_p", [bad](auto* o) { o->top_p = bad; });
  }
  for (const float bad : {-0.1F, 1.1F, nan}) {
    refuse("min_p", [bad](auto* o) { o->min_p = bad; });
  }
  refuse("top_k", [](auto* o) { o->top_k = -1; });
  refuse("top_k 257", [](auto* o) { o->top_k = 257; });
  refuse("repetition_penalty 0", [](auto* o) { o->repetition_penalty = 0; });
  refuse("repetition_window_bytes",
         [](auto* o) { o->repetition_window_bytes = 65537; });
}

}  // namespace
}  // namespace spanlm
