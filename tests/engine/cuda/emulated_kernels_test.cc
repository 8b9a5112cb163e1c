// SPDX-License-Identifier: Apache-2.0
// The device's kernels, compiled for the host and run thread by thread: what a
// machine without a GPU can know of them.
#include <cmath>
#include <limits>
#include <vector>

#include "engine/kernels/reference/span_attention.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/engine/cuda/attention_cases.h"
#include "tests/engine/cuda/device_emulator.h"
// After the emulator, whose words they use.
#include "engine/kernels/cuda/cache_append.cuh"
#include "engine/kernels/cuda/span_attention.cuh"

namespace spanlm {
namespace {

// Sums of up to 128 products and 128 positions in float against double.
constexpr double kTolerance = 2e-5;

void StageKeys(const kernels::CacheAppendArgs& args) {
  EmulateLaunch(ShapeOfCacheAppend(args),
                [&] { kernels::StageKeysKernel(args); });
}

void AppendToCache(const kernels::CacheAppendArgs& args) {
  EmulateLaunch(ShapeOfCacheAppend(args),
                [&] { kernels::AppendToCacheKernel(args); });
}

void Attend(const kernels::SpanAttentionArgs& args) {
  EmulateLaunch(ShapeOfSpanAttention(args),
                [&] { kernels::SpanAttentionKernel(args); });
}

class EmulatedKernelTest : public testing::TestWithParam<AttentionCase> {};

TEST_P(EmulatedKernelTest, AttendsAsTheReferenceDoes) {
  AttentionProblem problem(GetParam().setup);
  StageKeys(problem.append());

  Attend(problem.attention());

  const std::vector<double> want =
      SpanAttentionReference(problem.attention(), problem.append().key,
                             problem.append().key_row_stride);
  ASSERT_EQ(problem.out().size(), want.size());
  for (size_t i = 0; i < want.size(); ++i) {
    ASSERT_NEAR(problem.out()[i], want[i], kTolerance) << "element " << i;
  }
}

TEST_P(EmulatedKernelTest, StagesTheCpuKernelsBits) {
  AttentionProblem problem(GetParam().setup);
  AttentionProblem twin(GetParam().setup);

  StageKeys(problem.append());

  const int64_t tasks =
      int64_t{twin.append().chunk_count} * twin.append().heads;
  ASSERT_EQ(kernels::StageKeysCpu(twin.append(), 0, tasks), nullptr);
  EXPECT_EQ(problem.staged(), twin.staged());
}

TEST_P(EmulatedKernelTest, AppendsTheCpuKernelsBits) {
  AttentionProblem problem(GetParam().setup);
  AttentionProblem twin(GetParam().setup);

  AppendToCache(problem.append());

  const int64_t tasks =
      int64_t{twin.append().chunk_count} * twin.append().heads;
  ASSERT_EQ(kernels::AppendToCacheCpu(twin.append(), 0, tasks), nullptr);
  EXPECT_EQ(problem.slab(), twin.slab());
}

INSTANTIATE_TEST_SUITE_P(OddSizes, EmulatedKernelTest,
                         testing::ValuesIn(AttentionCases()),
                         [](const testing::TestParamInfo<AttentionCase>& info) {
                           return info.param.name;
                         });

// Rows 0 … 9 of a text from `position`, in chunks of these sizes, one after the
// other through the same rings. Returns the rows' outputs.
std::vector<float> AttendInChunks(int64_t position,
                                  const std::vector<int32_t>& sizes) {
  AttentionSetup setup;
  setup.heads = {{40, 40}, {7, 7}};
  setup.head_dim = 8;
  setup.chunks = {{position, 10}};
  AttentionProblem problem(setup);
  kernels::SpanAttentionArgs attention = problem.attention();
  kernels::CacheAppendArgs append = problem.append();
  const int64_t width = attention.out_row_stride;
  kernels::Chunk chunk = *attention.chunks;
  const std::vector<int32_t> row_chunk(10, 0);
  attention.chunks = &chunk;
  attention.row_chunk = row_chunk.data();
  append.chunks = &chunk;
  for (const int32_t size : sizes) {
    chunk.rows = size;
    attention.rows = size;
    StageKeys(append);
    Attend(attention);
    AppendToCache(append);
    chunk.position += size;
    attention.query += size * attention.query_row_stride;
    attention.value += size * attention.value_row_stride;
    append.key += size * append.key_row_stride;
    append.value += size * append.value_row_stride;
    attention.out += size * width;
  }
  return problem.out();
}

TEST(EmulatedKernelTest, CuttingATextChangesNoBit) {
  const std::vector<float> whole = AttendInChunks(/*position=*/59, {10});

  EXPECT_EQ(AttendInChunks(59, std::vector<int32_t>(10, 1)), whole);
  EXPECT_EQ(AttendInChunks(59, {4, 1, 5}), whole);
}

TEST(EmulatedKernelTest, CompanyChangesNoBit) {
  AttentionSetup alone;
  alone.heads = {{33, 33}};
  alone.head_dim = 12;
  alone.chunks = {{50, 3}};
  AttentionProblem single(alone);
  StageKeys(single.append());
  Attend(single.attention());

  // The same rows, now the second sequence of a step.
  AttentionSetup crowd = alone;
  crowd.chunks = {{7, 5}, {50, 3}};
  AttentionProblem pair(crowd);
  const kernels::SpanAttentionArgs& args = pair.attention();
  auto* rows = const_cast<float*>(args.query);
  std::copy_n(single.attention().query, 3 * args.query_row_stride,
              rows + 5 * args.query_row_stride);
  std::copy_n(single.attention().position_keys,
              args.position_columns * args.head_dim,
              const_cast<float*>(args.position_keys));
  std::copy_n(single.slab().data(), single.slab().size(),
              pair.append().cache + args.chunks[1].slot_offset);
  StageKeys(pair.append());
  Attend(args);

  const std::vector<float> tail(pair.out().begin() + 5 * args.out_row_stride,
                                pair.out().end());
  EXPECT_EQ(tail, single.out());
}

TEST(EmulatedKernelTest, NotANumberStaysInItsRow) {
  AttentionSetup setup;
  setup.head_dim = 4;
  setup.chunks = {{40, 2}};
  AttentionProblem problem(setup);
  const_cast<float*>(problem.attention().query)[0] =
      std::numeric_limits<float>::quiet_NaN();
  StageKeys(problem.append());

  Attend(problem.attention());

  const int64_t width = problem.attention().out_row_stride;
  for (int64_t i = 0; i < 2 * width; ++i) {
    EXPECT_EQ(std::isnan(problem.out()[i]), i < width) << "element " << i;
  }
}

}  // namespace
}  // namespace spanlm
