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

TEST(StreamBatcherTest, WalksThroughEqualSlicesSideBySide) {
  const std::vector<uint8_t> symbols = Counting(25);  // one left over
  ASSERT_OK_AND_ASSIGN(StreamBatcher batcher,
                       StreamBatcher::Create(symbols, 2, 4, 1));

  const StreamBatch first = batcher.Next();
  const StreamBatch second = batcher.Next();

  EXPECT_TRUE(first.starts_pass);
  EXPECT_EQ(Row(first.tokens, 0), (Numbers{0, 1, 2, 3}));
  EXPECT_EQ(Row(first.targets, 0), (Numbers{1, 2, 3, 4}));
  EXPECT_EQ(Row(first.tokens, 1), (Numbers{12, 13, 14, 15}));
  EXPECT_EQ(Row(first.targets, 1), (Numbers{13, 14, 15, 16}));
  EXPECT_FALSE(second.starts_pass);
  EXPECT_EQ(Row(second.tokens, 0), (Numbers{4, 5, 6, 7}));
  EXPECT_EQ(Row(second.targets, 1), (Numbers{17, 18, 19, 20}));
}

TEST(StreamBatcherTest, EndsAPassWhenLessThanABlockAndItsTargetsAreLeft) {
  for (const auto& [row_length, blocks] :
       {std::pair(12, 2), {13, 3}, {16, 3}, {17, 4}}) {
    const std::vector<uint8_t> symbols = Counting(row_length);
    ASSERT_OK_AND_ASSIGN(StreamBatcher batcher,
                         StreamBatcher::Create(symbols, 1, 4, 1));
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
  ASSERT_OK_AND_ASSIGN(StreamBatcher batcher,
                       StreamBatcher::Create(symbols, 1, 8, 7));
  std::set<int64_t> starts;
  for (int64_t pass = 1; pass <= 30; ++pass) {
    const StreamBatch batch = batcher.Next();
    EXPECT_TRUE(batch.starts_pass);
    EXPECT_EQ(batcher.position().epoch, pass);
    const Numbers tokens = Row(batch.tokens, 0);
    starts.insert(tokens[0]);
    while (!batcher.at_pass_end()) EXPECT_FALSE(batcher.Next().starts_pass);
  }
  EXPECT_THAT(starts, testing::ElementsAre(0, 1, 2, 3, 4, 5, 6, 7));
}

TEST(StreamBatcherTest, DrawsItsOffsetsFromTheSeedAlone) {
  const std::vector<uint8_t> symbols = Counting(200);
  const auto starts = [&](uint64_t seed) {
    StreamBatcher batcher = *StreamBatcher::Create(symbols, 1, 64, seed);
    Numbers found;
    for (int i = 0; i < 20; ++i) {
      const StreamBatch batch = batcher.Next();
      if (batch.starts_pass) found.push_back(Row(batch.tokens, 0)[0]);
    }
    return found;
  };
  EXPECT_EQ(starts(1), starts(1));
  EXPECT_NE(starts(1), starts(2));
}

TEST(StreamBatcherTest, GoesOnFromAnyPosition) {
  const std::vector<uint8_t> symbols = Counting(60);
  ASSERT_OK_AND_ASSIGN(StreamBatcher whole,
                       StreamBatcher::Create(symbols, 2, 4, 5));
  for (int i = 0; i < 25; ++i) {
    ASSERT_OK_AND_ASSIGN(StreamBatcher resumed,
                         StreamBatcher::Create(symbols, 2, 4, 5));
    resumed.Seek(whole.position());
    const StreamBatch expected = whole.Next();
    const StreamBatch batch = resumed.Next();
    EXPECT_EQ(batch.starts_pass, expected.starts_pass) << i;
    for (const int64_t row : {0, 1}) {
      EXPECT_EQ(Row(batch.tokens, row), Row(expected.tokens, row)) << i;
      EXPECT_EQ(Row(batch.targets, row), Row(expected.targets, row)) << i;
    }
  }
}

TEST(StreamBatcherTest, RefusesRowsShorterThanTwoBlocksWithTargets) {
  const std::vector<uint8_t> symbols = Counting(30);
  EXPECT_OK(StreamBatcher::Create(symbols, 3, 4, 1));
  EXPECT_THAT(
      StreamBatcher::Create(absl::MakeSpan(symbols).first(29), 3, 4, 1),
      StatusIs(absl::StatusCode::kInvalidArgument,
               "training text of 29 bytes gives --batch-size 3 rows of 9 "
               "bytes; --tokens-per-sample 4 needs rows of at least 10"));
}

}  // namespace
}  // namespace spanlm
