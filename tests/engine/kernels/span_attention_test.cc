// SPDX-License-Identifier: Apache-2.0
#include "engine/kernels/span_attention.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/engine/kernels/attention_problem.h"
#include "tests/engine/kernels/each_target.h"

namespace spanlm::kernels {
namespace {

using testing::HasSubstr;

// Scores of unit variance over up to a few hundred positions in float.
constexpr double kTolerance = 2e-5;

double LargestDifference(const std::vector<float>& a,
                         const std::vector<double>& b) {
  EXPECT_EQ(a.size(), b.size());
  double largest = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double difference = std::abs(a[i] - b[i]);
    largest = std::isnan(difference) ? HUGE_VAL : std::max(largest, difference);
  }
  return largest;
}

// Chunks at the given positions and row counts, one slot each, all of texts
// that began at `start`.
StepRows MakeStep(const AttentionModel& model,
                  const std::vector<std::pair<int64_t, int32_t>>& chunks,
                  int64_t start, std::mt19937* random) {
  StepRows step;
  int32_t rows = 0;
  for (const auto& [position, count] : chunks) {
    Chunk chunk;
    chunk.slot_offset =
        static_cast<int64_t>(step.chunks.size()) * model.slot_floats();
    chunk.position = position;
    chunk.start = start;
    chunk.first_row = rows;
    chunk.rows = count;
    step.chunks.push_back(chunk);
    rows += count;
  }
  step.qkv = RandomFloats(random, int64_t{rows} * 3 * model.shape().heads() *
                                      model.shape().head_dim);
  return step;
}

void ExpectMatchesReference(const AttentionShape& shape, int64_t start = 0) {
  std::mt19937 random(17);
  const std::vector<std::pair<int64_t, int32_t>> cases[] = {
      {{start, 1}},
      {{start, 70}},
      {{start + 31, 2}},
      {{start + 32, 1}, {start + 64, 33}},
      {{start + 5, 1}, {start + 600, 7}, {start + 1, 3}, {start + 33, 1}},
      {{start + (int64_t{1} << 40) + 13, 40}, {start + 95, 4}},
  };
  for (const auto& chunks : cases) {
    AttentionModel model(shape, static_cast<int32_t>(chunks.size()), 5);
    model.FillSlab(&random);
    const StepRows step = MakeStep(model, chunks, start, &random);
    OnEachTarget([&] {
      std::vector<double> expected;
      const std::vector<float> out = RunStep(&model, step, false, &expected);
      EXPECT_LT(LargestDifference(out, expected), kTolerance)
          << "first chunk at " << chunks[0].first << " of " << chunks[0].second;
    });
  }
}

TEST(SpanAttentionTest, MatchesTheReferenceForHeadsOfManyReaches) {
  AttentionShape shape;
  shape.reaches = {1, 31, 32, 33, 64, 200};
  ExpectMatchesReference(shape);
}

TEST(SpanAttentionTest, MatchesTheReferenceForOddHeadDims) {
  for (const int32_t head_dim : {1, 3, 17, 64, 96, 128}) {
    SCOPED_TRACE(head_dim);
    AttentionShape shape;
    shape.head_dim = head_dim;
    shape.reaches = {40, 7};
    ExpectMatchesReference(shape);
  }
}

TEST(SpanAttentionTest, MatchesTheReferenceWithFairseqsDenominator) {
  AttentionShape shape;
  shape.reaches = {32, 100, 128};
  shape.windows = {128, 128, 128};
  shape.renormalize = false;
  ExpectMatchesReference(shape);
}

TEST(SpanAttentionTest, MatchesTheReferenceWithBiasesAndClampedDistances) {
  for (const int32_t clamp : {0, 1, 31, 32, 40, 95}) {
    SCOPED_TRACE(clamp);
    AttentionShape shape;
    shape.reaches = {95, 95};
    shape.min_distance = 0;
    shape.position_reach = clamp;
    shape.shared_positions = false;
    shape.has_biases = true;
    shape.has_mask = false;
    ExpectMatchesReference(shape);
  }
}

TEST(SpanAttentionTest, MatchesTheReferenceWithAnEmptyStart) {
  AttentionShape shape;
  shape.reaches = {63, 1};
  shape.min_distance = 0;
  shape.has_biases = true;
  shape.has_mask = false;
  shape.empty_start = true;
  ExpectMatchesReference(shape);
  ExpectMatchesReference(shape, /*start=*/96);
}

TEST(SpanAttentionTest, MatchesTheReferenceWithATableLargerThanTheWindow) {
  AttentionShape shape;
  shape.reaches = {32, 45};
  shape.position_reach = 1024;
  ExpectMatchesReference(shape);
}

// Reads one text of `rows` symbols in chunks of the given sizes, repeated.
std::vector<float> ReadInChunks(const AttentionShape& shape, int64_t position,
                                const std::vector<int32_t>& sizes,
                                int32_t rows) {
  AttentionModel model(shape, 1, 5);
  std::mt19937 random(3);
  const int64_t width = int64_t{3} * shape.heads() * shape.head_dim;
  const std::vector<float> qkv = RandomFloats(&random, rows * width);
  std::vector<float> out;
  for (int32_t done = 0, i = 0; done < rows; ++i) {
    const int32_t count = std::min(sizes[i % sizes.size()], rows - done);
    StepRows step;
    Chunk chunk;
    chunk.position = position + done;
    chunk.start = position;
    chunk.rows = count;
    step.chunks = {chunk};
    step.qkv.assign(qkv.begin() + done * width,
                    qkv.begin() + (done + count) * width);
    const std::vector<float> part = RunStep(&model, step, true);
    out.insert(out.end(), part.begin(), part.end());
    done += count;
  }
  return out;
}

AttentionShape MixedShape() {
  AttentionShape shape;
  shape.head_dim = 24;
  shape.reaches = {1, 32, 50, 128};
  return shape;
}

bool SameBits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() &&
         std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

TEST(SpanAttentionTest, ChunkingChangesNoBit) {
  AttentionShape zero_start = MixedShape();
  AttentionShape fairseq = MixedShape();
  fairseq.windows = {128, 128, 128, 128};
  fairseq.renormalize = false;
  AttentionShape empty_start = MixedShape();
  empty_start.min_distance = 0;
  empty_start.has_mask = false;
  empty_start.has_biases = true;
  empty_start.empty_start = true;
  empty_start.position_reach = 40;
  for (const AttentionShape& shape : {zero_start, fairseq, empty_start}) {
    OnEachTarget([&] {
      const std::vector<float> whole = ReadInChunks(shape, 0, {400}, 400);
      EXPECT_TRUE(SameBits(whole, ReadInChunks(shape, 0, {1}, 400)));
      EXPECT_TRUE(SameBits(whole, ReadInChunks(shape, 0, {16}, 400)));
      EXPECT_TRUE(
          SameBits(whole, ReadInChunks(shape, 0, {5, 1, 64, 3, 130}, 400)));
    });
  }
}

// The control of the test above: on another grid of blocks the same sums are
// done in another order, and the bits do change.
TEST(SpanAttentionTest, AShiftedGridOfBlocksChangesBitsButNotTheResult) {
  const AttentionShape shape = MixedShape();
  const std::vector<float> aligned = ReadInChunks(shape, 0, {16}, 200);
  const std::vector<float> shifted = ReadInChunks(shape, 13, {16}, 200);

  EXPECT_FALSE(SameBits(aligned, shifted));
  EXPECT_LT(LargestDifference(
                aligned, std::vector<double>(shifted.begin(), shifted.end())),
            kTolerance);
}

TEST(SpanAttentionTest, CompanyInTheStepChangesNoBit) {
  const AttentionShape shape = MixedShape();
  AttentionModel model(shape, 5, 5);
  std::mt19937 random(11);
  model.FillSlab(&random);
  const StepRows many = MakeStep(
      model, {{700, 3}, {90, 1}, {33, 9}, {0, 1}, {64, 2}}, 0, &random);
  const int64_t width = int64_t{3} * shape.heads() * shape.head_dim;
  OnEachTarget([&] {
    const std::vector<float> together = RunStep(&model, many, false);
    for (const Chunk& chunk : many.chunks) {
      StepRows alone;
      alone.chunks = {chunk};
      alone.chunks[0].first_row = 0;
      alone.qkv.assign(
          many.qkv.begin() + chunk.first_row * width,
          many.qkv.begin() + (chunk.first_row + chunk.rows) * width);
      const std::vector<float> out = RunStep(&model, alone, false);
      EXPECT_EQ(
          std::memcmp(out.data(), together.data() + chunk.first_row * width / 3,
                      out.size() * sizeof(float)),
          0);
    }
  });
}

TEST(SpanAttentionTest, ANotANumberInAKeyReachesTheOutput) {
  AttentionShape shape;
  AttentionModel model(shape, 1, 5);
  std::mt19937 random(1);
  StepRows step = MakeStep(model, {{100, 2}}, 0, &random);
  step.qkv[shape.head_dim] = NAN;  // the first row's key

  OnEachTarget([&] {
    const std::vector<float> out = RunStep(&model, step, false);

    EXPECT_TRUE(std::isfinite(out[0]));
    EXPECT_TRUE(std::isnan(out[shape.head_dim]));
  });
}

TEST(SpanAttentionTest, RefusesArgumentsOutOfBounds) {
  AttentionModel model(AttentionShape{}, 1, 5);
  SpanAttentionArgs args = model.attention_args();
  args.rows = 1;

  EXPECT_THAT(std::string(SpanAttentionCpu(args, 0, 2, nullptr)),
              HasSubstr("tasks out of range"));
  alignas(64) float scratch[2] = {};
  EXPECT_THAT(std::string(SpanAttentionCpu(args, 0, 1, scratch + 1)),
              HasSubstr("scratch not aligned"));
  args.empty_start = true;
  EXPECT_THAT(std::string(SpanAttentionCpu(args, 0, 1, nullptr)),
              HasSubstr("empty_start"));
  args.empty_start = false;
  args.position_columns = 33;
  EXPECT_THAT(std::string(SpanAttentionCpu(args, 0, 1, nullptr)),
              HasSubstr("position table"));
  args.head_dim = 129;
  EXPECT_THAT(std::string(SpanAttentionCpu(args, 0, 1, nullptr)),
              HasSubstr("head_dim"));
}

}  // namespace
}  // namespace spanlm::kernels
