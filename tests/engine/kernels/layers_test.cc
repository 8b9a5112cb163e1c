// SPDX-License-Identifier: Apache-2.0
#include "engine/kernels/reference/layers.h"

#include <cmath>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/engine/kernels/attention_problem.h"
#include "tests/engine/kernels/each_target.h"

namespace spanlm::kernels {
namespace {

TEST(LayerNormTest, MatchesTheReferenceForOddWidths) {
  for (const int32_t dim : {1, 2, 15, 16, 17, 64, 513}) {
    std::mt19937 random(dim);
    const std::vector<float> x = RandomFloats(&random, int64_t{3} * dim);
    const std::vector<float> residual = RandomFloats(&random, int64_t{3} * dim);
    const std::vector<float> weight = RandomFloats(&random, dim);
    const std::vector<float> bias = RandomFloats(&random, dim);
    OnEachTarget([&] {
      for (const bool has_residual : {false, true}) {
        std::vector<float> y(x.size());
        LayerNormArgs args;
        args.rows = 3;
        args.dim = dim;
        args.x = x.data();
        args.residual = has_residual ? residual.data() : nullptr;
        args.weight = weight.data();
        args.bias = bias.data();
        args.y = y.data();
        ASSERT_EQ(LayerNormCpu(args, 0, 3), nullptr);
        const std::vector<double> expected = LayerNormReference(args);
        for (size_t i = 0; i < y.size(); ++i) {
          ASSERT_NEAR(y[i], expected[i], 1e-5) << "dim " << dim << " at " << i;
        }
      }
    });
  }
}

TEST(LayerNormTest, WorksInPlaceOnTheResidual) {
  std::mt19937 random(1);
  const std::vector<float> x = RandomFloats(&random, 40);
  const std::vector<float> weight = RandomFloats(&random, 20);
  std::vector<float> stream = RandomFloats(&random, 40);
  LayerNormArgs args;
  args.rows = 2;
  args.dim = 20;
  args.x = x.data();
  args.residual = stream.data();
  args.weight = args.bias = weight.data();
  args.y = stream.data();
  const std::vector<double> expected = LayerNormReference(args);

  ASSERT_EQ(LayerNormCpu(args, 0, 2), nullptr);

  for (size_t i = 0; i < stream.size(); ++i) {
    EXPECT_NEAR(stream[i], expected[i], 1e-5);
  }
}

TEST(LayerNormTest, RefusesRowsOutOfRange) {
  LayerNormArgs args;
  args.dim = 1;

  EXPECT_THAT(std::string(LayerNormCpu(args, 0, 1)),
              testing::HasSubstr("rows out of range"));
}

LogSoftmaxArgs SoftmaxArgs(const std::vector<float>& logits, int32_t rows,
                           std::vector<float>* log_probs) {
  log_probs->resize(logits.size());
  LogSoftmaxArgs args;
  args.rows = rows;
  args.classes = static_cast<int32_t>(logits.size()) / rows;
  args.logits = logits.data();
  args.log_probs = log_probs->data();
  args.logits_row_stride = args.log_probs_row_stride = args.classes;
  return args;
}

TEST(LogSoftmaxTest, MatchesTheReferenceForOddWidths) {
  for (const int32_t classes : {1, 5, 16, 205, 256}) {
    std::mt19937 random(classes);
    const std::vector<float> logits =
        RandomFloats(&random, int64_t{3} * classes, 6);
    OnEachTarget([&] {
      std::vector<float> log_probs;
      const LogSoftmaxArgs args = SoftmaxArgs(logits, 3, &log_probs);
      ASSERT_EQ(LogSoftmaxCpu(args, 0, 3), nullptr);
      const std::vector<double> expected = LogSoftmaxReference(args);
      for (size_t i = 0; i < log_probs.size(); ++i) {
        ASSERT_NEAR(log_probs[i], expected[i], 4e-6) << classes << " at " << i;
      }
    });
  }
}

TEST(LogSoftmaxTest, SurvivesLogitsFarApart) {
  const std::vector<float> logits = {3e38F, 0, -3e37F, 1000, 1000, -1000};
  std::vector<float> log_probs;
  const LogSoftmaxArgs args = SoftmaxArgs(logits, 2, &log_probs);

  ASSERT_EQ(LogSoftmaxCpu(args, 0, 2), nullptr);

  EXPECT_EQ(log_probs[0], 0);
  EXPECT_LT(log_probs[1], -1e38);
  EXPECT_NEAR(log_probs[3], -std::log(2.0), 1e-6);
}

TEST(LogSoftmaxTest, ABadLogitSpoilsItsRowAndNoOther) {
  for (const float bad : {NAN, INFINITY, -INFINITY}) {
    std::vector<float> logits(64, 1);
    logits[40] = bad;
    std::vector<float> log_probs;
    const LogSoftmaxArgs args = SoftmaxArgs(logits, 2, &log_probs);

    ASSERT_EQ(LogSoftmaxCpu(args, 0, 2), nullptr);

    EXPECT_NEAR(log_probs[0], -std::log(32.0), 1e-6);
    for (int i = 32; i < 64; ++i) EXPECT_TRUE(std::isnan(log_probs[i]));
  }
}

}  // namespace
}  // namespace spanlm::kernels
