// SPDX-License-Identifier: Apache-2.0
#include "engine/kernels/cuda/launch_shape.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace spanlm::kernels {
namespace {

using testing::HasSubstr;
using testing::IsNull;

SpanAttentionArgs ValidArgs() {
  SpanAttentionArgs args;
  args.rows = 5;
  args.heads = 3;
  args.head_dim = 64;
  args.position_columns = 64;
  args.position_reach = 40;
  return args;
}

TEST(LaunchShapeTest, GivesEachRowAndHeadAWarp) {
  const LaunchShape shape = ShapeOfSpanAttention(ValidArgs());

  EXPECT_EQ(shape.threads, kAttentionWarps * 32);
  EXPECT_EQ(shape.blocks, 4);  // 15 warps in blocks of 4
  EXPECT_THAT(CheckLaunch(shape), IsNull());
}

TEST(LaunchShapeTest, GivesEachChunkAndHeadABlock) {
  CacheAppendArgs args;
  args.heads = 8;
  args.chunk_count = 7;

  EXPECT_EQ(ShapeOfCacheAppend(args).blocks, 56);
  EXPECT_THAT(CheckLaunch(ShapeOfCacheAppend(args)), IsNull());
}

TEST(LaunchShapeTest, LaunchesNothingForNoRows) {
  SpanAttentionArgs args = ValidArgs();
  args.rows = 0;

  EXPECT_EQ(ShapeOfSpanAttention(args).blocks, 0);
}

TEST(LaunchShapeTest, RefusesMoreBlocksThanAGridHolds) {
  CacheAppendArgs args;
  args.heads = 65536;
  args.chunk_count = 32767;
  EXPECT_THAT(CheckLaunch(ShapeOfCacheAppend(args)), IsNull());

  args.chunk_count = 32768;
  EXPECT_THAT(CheckLaunch(ShapeOfCacheAppend(args)), HasSubstr("2^31 - 1"));
}

TEST(LaunchShapeTest, RefusesTooManyThreads) {
  EXPECT_THAT(CheckLaunch({1, 1025}), HasSubstr("1024 threads"));
}

TEST(LaunchShapeTest, NamesWhatIsWrongWithAttention) {
  EXPECT_THAT(CheckSpanAttention(ValidArgs()), IsNull());
  const auto check = [](auto change) {
    SpanAttentionArgs args = ValidArgs();
    change(&args);
    return CheckSpanAttention(args);
  };

  EXPECT_THAT(check([](auto* args) { args->rows = -1; }), HasSubstr("rows"));
  EXPECT_THAT(check([](auto* args) { args->heads = 0; }), HasSubstr("head"));
  EXPECT_THAT(check([](auto* args) { args->head_dim = 0; }),
              HasSubstr("below 1"));
  EXPECT_THAT(check([](auto* args) { args->head_dim = 129; }),
              HasSubstr("over 128"));
  EXPECT_THAT(check([](auto* args) { args->min_distance = 2; }),
              HasSubstr("min_distance"));
  EXPECT_THAT(check([](auto* args) {
                args->min_distance = 1;
                args->empty_start = true;
              }),
              HasSubstr("empty_start"));
  EXPECT_THAT(check([](auto* args) { args->position_columns = 63; }),
              HasSubstr("whole blocks"));
  EXPECT_THAT(check([](auto* args) { args->position_reach = 64; }),
              HasSubstr("position_reach"));
}

TEST(LaunchShapeTest, NamesWhatIsWrongWithAnAppend) {
  CacheAppendArgs args;
  args.heads = 2;
  args.head_dim = 64;
  EXPECT_THAT(CheckCacheAppend(args), IsNull());

  args.chunk_count = -1;
  EXPECT_THAT(CheckCacheAppend(args), HasSubstr("chunk_count"));
  args.chunk_count = 0;
  args.head_dim = 129;
  EXPECT_THAT(CheckCacheAppend(args), HasSubstr("over 128"));
  args.head_dim = 0;
  EXPECT_THAT(CheckCacheAppend(args), HasSubstr("below 1"));
  args.heads = 0;
  EXPECT_THAT(CheckCacheAppend(args), HasSubstr("no head"));
}

}  // namespace
}  // namespace spanlm::kernels
