// SPDX-License-Identifier: Apache-2.0
#include "engine/kernels/cache_append.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/engine/kernels/attention_problem.h"

namespace spanlm::kernels {
namespace {

constexpr int32_t kHeadDim = 3;

// One chunk of `rows` symbols at `position`: its key is 1000 · position + dim,
// its value the negative of that.
struct AppendProblem {
  AppendProblem(AttentionModel* model, int64_t position, int32_t rows) {
    const int32_t heads = model->shape().heads();
    const int64_t width = int64_t{heads} * kHeadDim;
    for (int32_t r = 0; r < rows; ++r) {
      for (int64_t i = 0; i < width; ++i) {
        keys.push_back(
            static_cast<float>(1000 * (position + r) + i % kHeadDim));
        values.push_back(-keys.back());
      }
    }
    chunk.position = position;
    chunk.rows = rows;
    chunk.staged_offset = 0;
    staged.assign(static_cast<size_t>(StagedFloats(chunk, heads, kHeadDim)),
                  -1);
    args = model->append_args();
    args.key = keys.data();
    args.value = values.data();
    args.key_row_stride = args.value_row_stride = width;
    args.staged_keys = staged.data();
    args.chunks = &chunk;
    args.chunk_count = 1;
  }

  std::vector<float> keys, values, staged;
  Chunk chunk;
  CacheAppendArgs args;
};

AttentionShape Shape(std::vector<int32_t> reaches) {
  AttentionShape shape;
  shape.head_dim = kHeadDim;
  shape.reaches = std::move(reaches);
  return shape;
}

// What the ring of head `head` holds for `position`: {key, value} of `dim`.
std::pair<float, float> Held(const AttentionModel& model, int32_t head,
                             int64_t position, int32_t dim) {
  const HeadSpan& span = model.attention_args().head[head];
  return {model.slab()[span.key_offset +
                       KeyIndex(RingPosition(position, span.key_capacity), dim,
                                kHeadDim)],
          model.slab()[span.value_offset +
                       ValueIndex(RingPosition(position, span.value_capacity),
                                  dim, kHeadDim)]};
}

TEST(CacheAppendTest, RingsHoldTheirLastPositionsWhateverTheChunks) {
  for (const int32_t size : {1, 7, 32, 50, 200}) {
    AttentionModel model(Shape({20, 64}), 1, 1);
    for (int32_t done = 0; done < 200; done += size) {
      AppendProblem problem(&model, done, std::min(size, 200 - done));
      ASSERT_EQ(AppendToCacheCpu(problem.args, 0, 2), nullptr);
    }
    for (int32_t head = 0; head < 2; ++head) {
      const int32_t capacity = head == 0 ? 32 : 64;
      for (int64_t p = 200 - capacity; p < 200; ++p) {
        for (int32_t dim = 0; dim < kHeadDim; ++dim) {
          const auto expected = static_cast<float>(1000 * p + dim);
          ASSERT_EQ(Held(model, head, p, dim),
                    std::make_pair(expected, -expected))
              << "head " << head << " position " << p << " size " << size;
        }
      }
    }
  }
}

TEST(CacheAppendTest, AShortChunkLeavesOlderPositionsAlone) {
  AttentionModel model(Shape({32}), 1, 1);
  AppendProblem first(&model, 0, 32);
  ASSERT_EQ(AppendToCacheCpu(first.args, 0, 1), nullptr);

  AppendProblem second(&model, 32, 3);
  ASSERT_EQ(AppendToCacheCpu(second.args, 0, 1), nullptr);

  EXPECT_EQ(Held(model, 0, 34, 1).first, 34001);
  EXPECT_EQ(Held(model, 0, 3, 1).first, 3001);
}

TEST(CacheAppendTest, StagesTheNewestBlockTheRowsAndThenZeros) {
  AttentionModel model(Shape({40, 32}), 1, 1);
  AppendProblem old(&model, 0, 70);
  ASSERT_EQ(AppendToCacheCpu(old.args, 0, 2), nullptr);
  AppendProblem problem(&model, 70, 30);
  ASSERT_EQ(problem.staged.size(), 2U * 2 * kHeadDim * kBlockPositions);

  ASSERT_EQ(StageKeysCpu(problem.args, 0, 2), nullptr);

  for (int32_t head = 0; head < 2; ++head) {
    for (int64_t p = 64; p < 128; ++p) {
      const float held =
          problem.staged[(head * 2 + (p - 64) / 32) * kHeadDim * 32 + 1 * 32 +
                         p % 32];
      EXPECT_EQ(held, p < 100 ? static_cast<float>(1000 * p + 1) : 0)
          << "head " << head << " position " << p;
    }
  }
}

TEST(CacheAppendTest, StagesNothingForAChunkThatNeedsNone) {
  AttentionModel model(Shape({40}), 1, 1);
  AppendProblem problem(&model, 70, 1);
  problem.chunk.staged_offset = -1;

  ASSERT_EQ(StageKeysCpu(problem.args, 0, 1), nullptr);

  EXPECT_THAT(problem.staged, testing::Each(-1));
}

TEST(CacheAppendTest, RefusesTasksOutOfRange) {
  AttentionModel model(Shape({40}), 1, 1);
  AppendProblem problem(&model, 0, 1);

  EXPECT_THAT(std::string(StageKeysCpu(problem.args, 0, 2)),
              testing::HasSubstr("out of range"));
  EXPECT_THAT(std::string(AppendToCacheCpu(problem.args, -1, 1)),
              testing::HasSubstr("out of range"));
}

TEST(CacheViewTest, BlocksAndRingPlacesOfNegativePositionsRoundDown) {
  EXPECT_EQ(BlockOf(0), 0);
  EXPECT_EQ(BlockOf(-1), -1);
  EXPECT_EQ(BlockOf(-32), -1);
  EXPECT_EQ(BlockOf(-33), -2);
  EXPECT_EQ(RingPosition(-1, 64), 63);
  EXPECT_EQ(RingPosition(-64, 64), 0);
  EXPECT_EQ(RingPosition(int64_t{1} << 40, 96), (int64_t{1} << 40) % 96);
}

}  // namespace
}  // namespace spanlm::kernels
