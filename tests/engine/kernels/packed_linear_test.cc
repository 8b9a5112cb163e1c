// SPDX-License-Identifier: Apache-2.0
#include "engine/kernels/packed_linear.h"

#include <cmath>
#include <cstring>
#include <string>

#include "engine/kernels/reference/layers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/engine/kernels/attention_problem.h"
#include "tests/engine/kernels/each_target.h"

namespace spanlm::kernels {
namespace {

struct LinearProblem {
  LinearProblem(int32_t rows, int32_t inputs, int32_t outputs) {
    std::mt19937 random(rows * 31 + inputs * 7 + outputs);
    x = RandomFloats(&random, int64_t{rows} * inputs);
    weights = RandomFloats(&random, int64_t{outputs} * inputs);
    bias = RandomFloats(&random, outputs);
    packed.assign(static_cast<size_t>(PackedFloats(outputs, inputs)), NAN);
    PackWeights(weights.data(), outputs, inputs, packed.data());
    // Two floats more than needed, which must stay as they are.
    y.assign(static_cast<size_t>(rows) * (outputs + 2), 7);
    args.rows = rows;
    args.inputs = inputs;
    args.outputs = outputs;
    args.x = x.data();
    args.x_row_stride = inputs;
    args.weights = packed.data();
    args.bias = bias.data();
    args.y = y.data();
    args.y_row_stride = outputs + 2;
  }

  std::vector<float> x, weights, bias, packed, y;
  PackedLinearArgs args;
};

void ExpectMatchesReference(LinearProblem* problem) {
  const PackedLinearArgs& args = problem->args;
  ASSERT_EQ(PackedLinearCpu(args, 0, PackedLinearTasks(args)), nullptr);
  const std::vector<double> expected =
      LinearReference(args, problem->weights.data());
  const double tolerance = 3e-6 * std::sqrt(args.inputs) + 1e-6;
  for (int64_t row = 0; row < args.rows; ++row) {
    for (int64_t o = 0; o < args.outputs; ++o) {
      ASSERT_NEAR(args.y[row * args.y_row_stride + o],
                  expected[row * args.outputs + o], tolerance)
          << "row " << row << " output " << o;
    }
    ASSERT_EQ(args.y[row * args.y_row_stride + args.outputs], 7);
  }
}

TEST(PackedLinearTest, MatchesTheReferenceForOddSizes) {
  for (const int32_t rows : {1, 2, 5, 13, 200}) {
    for (const int32_t inputs : {1, 7, 64}) {
      for (const int32_t outputs : {1, 31, 32, 100}) {
        OnEachTarget([&] {
          SCOPED_TRACE(testing::Message()
                       << rows << "x" << inputs << "x" << outputs);
          LinearProblem problem(rows, inputs, outputs);
          ExpectMatchesReference(&problem);
        });
      }
    }
  }
}

TEST(PackedLinearTest, MatchesTheReferenceWithoutBiasAndWithRelu) {
  OnEachTarget([] {
    LinearProblem problem(9, 40, 45);
    problem.args.relu = true;
    ExpectMatchesReference(&problem);
    problem.args.bias = nullptr;
    ExpectMatchesReference(&problem);
  });
}

// A weight or an input that is no number must not become a score.
TEST(PackedLinearTest, KeepsWhatIsNoNumberThroughTheRelu) {
  OnEachTarget([] {
    for (const int32_t outputs : {3, 45}) {  // the last panel's and whole lanes
      LinearProblem problem(2, 40, outputs);
      problem.args.relu = true;
      problem.x[7] = NAN;
      const PackedLinearArgs& args = problem.args;
      ASSERT_EQ(PackedLinearCpu(args, 0, PackedLinearTasks(args)), nullptr);
      const std::vector<double> expected =
          LinearReference(args, problem.weights.data());
      for (int32_t o = 0; o < outputs; ++o) {
        ASSERT_TRUE(std::isnan(args.y[o])) << "output " << o;
        ASSERT_TRUE(std::isnan(expected[o])) << "output " << o;
        ASSERT_GE(args.y[args.y_row_stride + o], 0) << "output " << o;
      }
    }
  });
}

TEST(PackedLinearTest, ARowsBitsDoNotDependOnTheOtherRows) {
  constexpr int32_t kRows = 25;
  OnEachTarget([] {
    LinearProblem all(kRows, 77, 90);
    ASSERT_EQ(PackedLinearCpu(all.args, 0, PackedLinearTasks(all.args)),
              nullptr);
    for (int32_t first = 0; first < kRows; ++first) {
      for (const int32_t count : {1, 2, 3, 8}) {
        if (first + count > kRows) continue;
        LinearProblem some(kRows, 77, 90);
        some.args.rows = count;
        some.args.x += first * some.args.x_row_stride;
        ASSERT_EQ(PackedLinearCpu(some.args, 0, PackedLinearTasks(some.args)),
                  nullptr);
        ASSERT_EQ(std::memcmp(some.y.data(),
                              all.y.data() + first * all.args.y_row_stride,
                              count * 92 * sizeof(float)),
                  0)
            << first << "+" << count;
      }
    }
  });
}

TEST(PackedLinearTest, TasksWriteTheirOwnOutputsOnly) {
  LinearProblem whole(400, 20, 70);
  LinearProblem parts(400, 20, 70);
  const int64_t tasks = PackedLinearTasks(whole.args);
  ASSERT_GT(tasks, 3);
  ASSERT_EQ(PackedLinearCpu(whole.args, 0, tasks), nullptr);

  for (int64_t task = tasks - 1; task >= 0; --task) {
    ASSERT_EQ(PackedLinearCpu(parts.args, task, task + 1), nullptr);
  }

  EXPECT_EQ(whole.y, parts.y);
}

TEST(PackedLinearTest, PackingFillsPanelsUpWithZeros) {
  const std::vector<float> weights = {1, 2, 3, 4, 5, 6};  // [3, 2]
  std::vector<float> packed(static_cast<size_t>(PackedFloats(3, 2)), NAN);
  ASSERT_EQ(packed.size(), 64U);

  PackWeights(weights.data(), 3, 2, packed.data());

  EXPECT_EQ(packed[0], 1);
  EXPECT_EQ(packed[1], 3);
  EXPECT_EQ(packed[2], 5);
  EXPECT_EQ(packed[3], 0);
  EXPECT_EQ(packed[32], 2);
  EXPECT_EQ(packed[63], 0);
}

TEST(PackedLinearTest, RefusesTasksOutOfRangeAndEmptyShapes) {
  LinearProblem problem(1, 4, 4);

  EXPECT_THAT(std::string(PackedLinearCpu(problem.args, 0, 2)),
              testing::HasSubstr("tasks out of range"));
  problem.args.inputs = 0;
  EXPECT_THAT(std::string(PackedLinearCpu(problem.args, 0, 1)),
              testing::HasSubstr("no inputs"));
}

}  // namespace
}  // namespace spanlm::kernels
