// SPDX-License-Identifier: Apache-2.0
#include "engine/kernels/cuda/row_blocks.h"

#include <vector>

#include "gtest/gtest.h"

namespace spanlm::kernels {
namespace {

// One chunk of rows 3 … at positions 100 …, one head of 4 dimensions that
// reaches 40 of 70 positions.
struct Problem {
  Problem() {
    span.value_offset = 96 * 4;
    span.key_capacity = 96;
    span.value_capacity = 64;
    span.reach = 40;
    span.window = 70;
    chunk.slot_offset = 1000;
    chunk.position = 100;
    chunk.staged_offset = 500;
    chunk.first_row = 3;
    chunk.rows = 30;
    args.rows = 33;
    args.heads = 1;
    args.head_dim = 4;
    args.cache = memory.data();
    args.staged_keys = memory.data();
    args.value = memory.data();
    args.value_row_stride = 12;
    args.head = &span;
    args.position_keys = memory.data();
    args.position_columns = 64;
    args.position_reach = 50;
    args.min_distance = 1;
    args.renormalize = false;
  }
  int64_t KeyOffset(int64_t block) const {
    return KeysOfBlock(args, chunk, 0, block) - memory.data();
  }
  int64_t ValueOffset(int64_t position) const {
    return ValueAt(args, chunk, 0, position) - memory.data();
  }
  int64_t PositionKeyOffset(int64_t distance) const {
    return PositionKeyAt(args, 0, distance) - memory.data();
  }

  std::vector<float> memory = std::vector<float>(4000);
  HeadSpan span;
  Chunk chunk;
  SpanAttentionArgs args;
};

TEST(RowBlocksTest, ARowSeesItsWindowUpToTheDistanceAllowed) {
  const Problem problem;

  const RowRange range =
      RangeOfRow(problem.args, problem.chunk, problem.span, /*row=*/5);

  EXPECT_EQ(range.position, 102);
  EXPECT_EQ(range.oldest_key, 32);
  EXPECT_EQ(range.oldest_value, 62);
  EXPECT_EQ(range.newest, 101);
}

TEST(RowBlocksTest, AnEmptyStartEndsTheRange) {
  Problem problem;
  problem.args.min_distance = 0;
  problem.args.empty_start = true;
  problem.chunk.start = 96;

  const RowRange range =
      RangeOfRow(problem.args, problem.chunk, problem.span, /*row=*/3);

  EXPECT_EQ(range.oldest_key, 96);
  EXPECT_EQ(range.oldest_value, 96);
  EXPECT_EQ(range.newest, 100);
}

TEST(RowBlocksTest, AZeroStartReachesBeforeTheText) {
  Problem problem;
  problem.chunk.position = 0;

  const RowRange range =
      RangeOfRow(problem.args, problem.chunk, problem.span, /*row=*/3);

  EXPECT_EQ(range.oldest_key, -70);
  EXPECT_EQ(BlockOf(range.oldest_key), -3);
}

TEST(RowBlocksTest, KeysAreStagedFromTheChunksFirstBlockOn) {
  const Problem problem;

  EXPECT_EQ(problem.KeyOffset(3), 500);            // positions 96 … 127
  EXPECT_EQ(problem.KeyOffset(4), 500 + 4 * 32);   // 128 …
  EXPECT_EQ(problem.KeyOffset(2), 1000 + 64 * 4);  // 64 … of a ring of 96
  EXPECT_EQ(problem.KeyOffset(0), 1000);
}

TEST(RowBlocksTest, UnstagedKeysComeFromTheRing) {
  Problem problem;
  problem.chunk.staged_offset = -1;

  EXPECT_EQ(problem.KeyOffset(3), 1000);            // 96 mod 96
  EXPECT_EQ(problem.KeyOffset(-1), 1000 + 64 * 4);  // before the text
}

TEST(RowBlocksTest, ValuesComeFromTheRowsFromTheChunksPositionOn) {
  const Problem problem;

  EXPECT_EQ(problem.ValueOffset(100), 3 * 12);
  EXPECT_EQ(problem.ValueOffset(102), 5 * 12);
  EXPECT_EQ(problem.ValueOffset(99), 1000 + 96 * 4 + (99 - 64) * 4);
  EXPECT_EQ(problem.ValueOffset(-1), 1000 + 96 * 4 + 63 * 4);
}

TEST(RowBlocksTest, DistancesOutsideTheTableReadItsEnds) {
  const Problem problem;

  EXPECT_EQ(problem.PositionKeyOffset(0), 32 * 4 + 31);  // column 63
  EXPECT_EQ(problem.PositionKeyOffset(-3), problem.PositionKeyOffset(0));
  EXPECT_EQ(problem.PositionKeyOffset(50), 13);  // column 13
  EXPECT_EQ(problem.PositionKeyOffset(51), problem.PositionKeyOffset(50));
}

TEST(RowBlocksTest, TheMaskLiesByFallingDistance) {
  Problem problem;
  EXPECT_EQ(MaskAt(problem.args, 0, 40), 1.0F);  // no table: all 1

  const std::vector<float> mask = {0.25F, 0.5F, 1.0F};
  problem.args.mask = mask.data();
  problem.args.mask_columns = 3;

  EXPECT_EQ(MaskAt(problem.args, 0, 0), 1.0F);
  EXPECT_EQ(MaskAt(problem.args, 0, 2), 0.25F);
}

}  // namespace
}  // namespace spanlm::kernels
