// SPDX-License-Identifier: Apache-2.0
#include "train/stream_batcher.h"

#include <cstdint>
#include <numeric>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace spanlm {
namespace {

using Numbers = std::vector<int64_t>;

// 0, 1, 2, … so that a symbol tells where it was read.
std::vector<uint8_t> Counting(int size) {
  std::vector<uint8_t> symbols(size);
  std::iota(symbols.begin(), symbols.end(), 0);
  return symbols;
}

Numbers Row(const at::Tensor& x, int64_t row) {
  const int64_t* first = x.const_data_ptr<int64_t>() + row * x.size(1);
  return Numbers(first, first + x.size(1));
}

absl::StatusOr<StreamBatcher> Slices(const std::vector<uint8_t>& symbols,
                                     int64_t rows, int64_t block,
                                     uint64_t seed) {
  BatchOptions options = WholeBatch(RowLayout::kSlices, rows, block);
  options.seed = seed;
  return StreamBatcher::Create(SymbolText(absl::MakeConstSpan(symbols)),
                               options);
}

absl::StatusOr<StreamBatcher> Blocks(const std::vector<uint8_t>& symbols,
                                     int64_t rows, int64_t block) {
  BatchOptions options = WholeBatch(RowLayout::kBlocks, rows, block);
  options.pad_symbol = 99;
  return StreamBatcher::Create(SymbolText(absl::MakeConstSpan(symbols)),
                               options);
}

TEST(StreamBatcherTest, WalksThroughEqualSlicesSideBySide) {
  const std::vector<uint8_t> symbols = Counting(25);  // one left over
  ASSERT_OK_AND_ASSIGN(StreamBatcher batcher, Slices(symbols, 2, 4, 1));

  const StreamBatch first = batcher.Next();
  const StreamBatch second = batcher.Next();

  EXPECT_TRUE(first.starts_anew);
  EXPECT_EQ(Row(first.tokens, 0), (Numbers{0, 1, 2, 3}));
  EXPECT_EQ(Row(first.targets, 0), (Numbers{1, 2, 3, 4}));
  EXPECT_EQ(Row(first.tokens, 1), (Numbers{12, 13, 14, 15}));
  EXPECT_EQ(Row(first.targets, 1), (Numbers{13, 14, 15, 16}));
  EXPECT_FALSE(second.starts_anew);
  EXPECT_EQ(Row(second.tokens, 0), (Numbers{4, 5, 6, 7}));
  EXPECT_EQ(Row(second.targets, 1), (Numbers{17, 18, 19, 20}));
}

TEST(StreamBatcherTest, EndsAPassWhenLessThanABlockAndItsTargetsAreLeft) {
  for (const auto& [row_length, blocks] :
       {std::pair(12, 2), {13, 3}, {16, 3}, {17, 4}}) {
    const std::vector<uint8_t> symbols = Counting(row_length);
    ASSERT_OK_AND_ASSIGN(StreamBatcher batcher, Slices(symbols, 1, 4, 1));
    int read = 0;
    while (!batcher.at_pass_end()) {
      EXPECT_EQ(batcher.position().epoch, 1);
      batcher.Next();
      ++read;
    }
    EXPECT_EQ(read, blocks) << row_length;
    EXPECT_DOUBLE_EQ(batcher.pass_fraction(), 4.0 * blocks / row_length);
  }
}

TEST(StreamBatcherTest, StartsLaterPassesAtOffsetsBelowABlock) {
  const std::vector<uint8_t> symbols = Counting(40);
  ASSERT_OK_AND_ASSIGN(StreamBatcher batcher, Slices(symbols, 1, 8, 7));
  std::set<int64_t> starts;
  for (int64_t pass = 1; pass <= 30; ++pass) {
    const StreamBatch batch = batcher.Next();
    EXPECT_TRUE(batch.starts_anew);
    EXPECT_EQ(batcher.position().epoch, pass);
    const Numbers tokens = Row(batch.tokens, 0);
    starts.insert(tokens[0]);
    while (!batcher.at_pass_end()) EXPECT_FALSE(batcher.Next().starts_anew);
  }
  EXPECT_THAT(starts, testing::ElementsAre(0, 1, 2, 3, 4, 5, 6, 7));
}

TEST(StreamBatcherTest, DrawsItsOffsetsFromTheSeedAlone) {
  const std::vector<uint8_t> symbols = Counting(200);
  const auto starts = [&](uint64_t seed) {
    StreamBatcher batcher = *Slices(symbols, 1, 64, seed);
    Numbers found;
    for (int i = 0; i < 20; ++i) {
      const StreamBatch batch = batcher.Next();
      if (batch.starts_anew) found.push_back(Row(batch.tokens, 0)[0]);
    }
    return found;
  };
  EXPECT_EQ(starts(1), starts(1));
  EXPECT_NE(starts(1), starts(2));
}

TEST(StreamBatcherTest, GoesOnFromAnyPosition) {
  const std::vector<uint8_t> symbols = Counting(60);
  ASSERT_OK_AND_ASSIGN(StreamBatcher whole, Slices(symbols, 2, 4, 5));
  for (int i = 0; i < 25; ++i) {
    ASSERT_OK_AND_ASSIGN(StreamBatcher resumed, Slices(symbols, 2, 4, 5));
    ASSERT_OK(resumed.Seek(whole.position()));
    const StreamBatch expected = whole.Next();
    const StreamBatch batch = resumed.Next();
    EXPECT_EQ(batch.starts_anew, expected.starts_anew) << i;
    for (const int64_t row : {0, 1}) {
      EXPECT_EQ(Row(batch.tokens, row), Row(expected.tokens, row)) << i;
      EXPECT_EQ(Row(batch.targets, row), Row(expected.targets, row)) << i;
    }
  }
}

TEST(StreamBatcherTest, RefusesRowsShorterThanTwoBlocksWithTargets) {
  const std::vector<uint8_t> symbols = Counting(30);
  EXPECT_OK(Slices(symbols, 3, 4, 1));
  EXPECT_THAT(
      Slices(Counting(29), 3, 4, 1),
      StatusIs(absl::StatusCode::kInvalidArgument,
               "text of 29 symbols gives 3 rows of 9; --tokens-per-sample 4 "
               "needs rows of at least 10: lower --batch-size"));
}

TEST(StreamBatcherTest, BlocksAreCutFirstAndTheirLastSymbolHasNoTarget) {
  // Seven blocks of 4, the last of 2: two rows of three, one left over.
  const std::vector<uint8_t> symbols = Counting(26);
  ASSERT_OK_AND_ASSIGN(StreamBatcher batcher, Blocks(symbols, 2, 4));

  const StreamBatch first = batcher.Next();
  const StreamBatch second = batcher.Next();

  EXPECT_TRUE(first.starts_anew);
  EXPECT_EQ(Row(first.tokens, 0), (Numbers{0, 1, 2, 3}));
  EXPECT_EQ(Row(first.targets, 0), (Numbers{1, 2, 3, kUnscored}));
  EXPECT_EQ(Row(first.tokens, 1), (Numbers{12, 13, 14, 15}));
  EXPECT_EQ(Row(second.tokens, 0), (Numbers{4, 5, 6, 7}));
  EXPECT_EQ(first.scored, 6);
}

TEST(StreamBatcherTest, TheLastBlockIsPaddedAndMemoryFlowsIntoTheNextPass) {
  const std::vector<uint8_t> symbols = Counting(22);  // six blocks, last of 2
  ASSERT_OK_AND_ASSIGN(StreamBatcher batcher, Blocks(symbols, 2, 4));
  batcher.Next();
  batcher.Next();
  EXPECT_FALSE(batcher.at_pass_end());

  const StreamBatch last = batcher.Next();
  EXPECT_TRUE(batcher.at_pass_end());
  const StreamBatch again = batcher.Next();

  EXPECT_EQ(Row(last.tokens, 0), (Numbers{8, 9, 10, 11}));
  EXPECT_EQ(Row(last.tokens, 1), (Numbers{20, 21, 99, 99}));
  EXPECT_EQ(Row(last.targets, 1),
            (Numbers{21, kUnscored, kUnscored, kUnscored}));
  EXPECT_EQ(last.scored, 4);
  EXPECT_FALSE(again.starts_anew);
  EXPECT_EQ(batcher.position().epoch, 2);
  EXPECT_EQ(Row(again.tokens, 0), (Numbers{0, 1, 2, 3}));
}

TEST(StreamBatcherTest, ARowAloneIsNotPadded) {
  const std::vector<uint8_t> symbols = Counting(6);
  ASSERT_OK_AND_ASSIGN(StreamBatcher batcher, Blocks(symbols, 1, 4));
  batcher.Next();
  const StreamBatch last = batcher.Next();
  EXPECT_EQ(Row(last.tokens, 0), (Numbers{4, 5}));
  EXPECT_EQ(Row(last.targets, 0), (Numbers{5, kUnscored}));
}

// A process reads the rows that it would have read in a process of all rows.
TEST(StreamBatcherTest, ProcessesShareTheRows) {
  const std::vector<uint8_t> symbols = Counting(103);
  for (const RowLayout layout : {RowLayout::kSlices, RowLayout::kBlocks}) {
    BatchOptions options = WholeBatch(layout, 4, 5);
    const SymbolText text(absl::MakeConstSpan(symbols));
    ASSERT_OK_AND_ASSIGN(StreamBatcher whole,
                         StreamBatcher::Create(text, options));
    options.first_row = 2;
    options.row_count = 2;
    ASSERT_OK_AND_ASSIGN(StreamBatcher half,
                         StreamBatcher::Create(text, options));
    for (int i = 0; i < 9; ++i) {
      const StreamBatch all = whole.Next(), part = half.Next();
      EXPECT_EQ(all.scored, part.scored);
      for (const int64_t row : {0, 1}) {
        EXPECT_EQ(Row(part.tokens, row), Row(all.tokens, row + 2));
        EXPECT_EQ(Row(part.targets, row), Row(all.targets, row + 2));
      }
    }
  }
}

}  // namespace
}  // namespace spanlm
