// SPDX-License-Identifier: Apache-2.0
#include "engine/runtime/step_plan.h"

#include <cmath>

#include "engine/span_cache.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace spanlm {
namespace {

using testing::ElementsAre;

constexpr absl::StatusCode kInvalid = absl::StatusCode::kInvalidArgument;

StepLimits Limits() {
  StepLimits limits;
  limits.vocab_size = 10;
  limits.max_symbols = 6;
  limits.heads = 2;
  limits.head_dim = 4;
  limits.min_distance = 1;
  limits.slot_floats = 1000;
  return limits;
}

class StepPlanTest : public testing::Test {
 protected:
  SpanCache NewCache(int64_t position = 0) {
    return SpanCache(*pool_.Take(), position);
  }

  SlotPool pool_{4};
  SpanCache first_ = NewCache();
  SpanCache second_ = NewCache(96);
};

TEST_F(StepPlanTest, RefusesWhatCannotBeAStepNamingTheSequence) {
  EXPECT_THAT(CheckBatch({}, Limits()), StatusIs(kInvalid, "empty batch"));
  EXPECT_THAT(CheckBatch({{&first_, {1}}, {&second_, {}}}, Limits()),
              StatusIs(kInvalid, "sequence 1 of the batch: no symbols"));
  EXPECT_THAT(CheckBatch({{&first_, {1, 10}}}, Limits()),
              StatusIs(kInvalid, "symbol 10 at 1, want below 10"));
  EXPECT_THAT(CheckBatch({{nullptr, {1}}}, Limits()),
              StatusIs(kInvalid, "no cache"));
  EXPECT_THAT(
      CheckBatch({{&first_, {1}}, {&second_, {1}}, {&first_, {1}}}, Limits()),
      StatusIs(kInvalid, "sequence 2 of the batch: its cache"));
  EXPECT_THAT(
      CheckBatch({{&first_, {1, 2, 3}}, {&second_, {1, 2, 3, 4}}}, Limits()),
      StatusIs(kInvalid,
               "batch of 7 symbols, want at most "
               "max_step_symbols = 6"));
  EXPECT_OK(
      CheckBatch({{&first_, {1, 2}}, {&second_, {1, 2, 3, 4}}}, Limits()));
}

TEST_F(StepPlanTest, RefusesACacheThatWasMovedFrom) {
  const SpanCache taken = std::move(first_);

  EXPECT_THAT(CheckBatch({{&first_, {1}}}, Limits()),
              StatusIs(kInvalid, "moved from"));
}

TEST_F(StepPlanTest, LaysRowsOutSequenceAfterSequence) {
  const uint16_t symbols[] = {1, 2, 3, 4};
  const StepTables tables =
      MakeStepTables({{&first_, {symbols, 3}, Want::kNothing},
                      {&second_, {symbols + 3, 1}, Want::kAll}},
                     Limits());

  EXPECT_THAT(tables.symbols, ElementsAre(1, 2, 3, 4));
  EXPECT_THAT(tables.row_chunk, ElementsAre(0, 0, 0, 1));
  EXPECT_THAT(tables.wanted_rows, ElementsAre(2, 3));
  EXPECT_EQ(tables.chunks[1].first_row, 3);
  EXPECT_EQ(tables.chunks[1].position, 96);
  EXPECT_EQ(tables.chunks[1].start, 96);
  EXPECT_EQ(tables.chunks[1].slot_offset, second_.slot() * 1000);
}

TEST_F(StepPlanTest, StagesKeysOnlyWhereARowSeesAnother) {
  const uint16_t symbols[] = {1, 2, 3};
  StepLimits limits = Limits();
  const Batch batch = {{&first_, {symbols, 1}}, {&second_, {symbols, 3}}};

  const StepTables strict = MakeStepTables(batch, limits);
  limits.min_distance = 0;
  const StepTables with_self = MakeStepTables(batch, limits);

  EXPECT_EQ(strict.chunks[0].staged_offset, -1);
  EXPECT_EQ(strict.chunks[1].staged_offset, 0);
  EXPECT_EQ(strict.staged_floats, 2 * 4 * 32);
  EXPECT_EQ(with_self.chunks[0].staged_offset, 0);
  EXPECT_EQ(with_self.chunks[1].staged_offset, 2 * 4 * 32);
}

TEST_F(StepPlanTest, TargetsAreTakenFromTheDistributionBefore) {
  const uint16_t symbols[] = {1, 2, 0};
  const std::vector<std::vector<float>> rows = {
      {-1, -2, -3}, {-4, -5, -6}, {-7, -8, -9}};
  const auto log_probs = [&](int64_t i) {
    return absl::Span<const float>(rows[i]);
  };

  const StepResult begun =
      FinishStep({{&first_, {symbols, 3}, Want::kTargets}}, log_probs);
  const StepResult gone_on =
      FinishStep({{&first_, {symbols, 1}, Want::kTargets}}, log_probs);

  EXPECT_THAT(begun[0].log_probs, ElementsAre(-std::log(256.0F), -3, -4));
  EXPECT_THAT(gone_on[0].log_probs, ElementsAre(-8));
  EXPECT_EQ(first_.position(), 4);
  EXPECT_THAT(first_.last_log_probs(), ElementsAre(-1, -2, -3));
}

TEST_F(StepPlanTest, SequencesFindTheirOwnRows) {
  const uint16_t symbols[] = {1, 2, 0};
  const std::vector<std::vector<float>> rows = {
      {-1, -2, -3}, {-4, -5, -6}, {-7, -8, -9}};

  const StepResult result =
      FinishStep({{&first_, {symbols, 3}, Want::kNothing},
                  {&second_, {symbols, 2}, Want::kAll}},
                 [&](int64_t i) { return absl::Span<const float>(rows[i]); });

  EXPECT_TRUE(result[0].log_probs.empty());
  EXPECT_THAT(first_.last_log_probs(), ElementsAre(-1, -2, -3));
  EXPECT_THAT(result[1].log_probs, ElementsAre(-4, -5, -6, -7, -8, -9));
  EXPECT_EQ(second_.position(), 98);
}

}  // namespace
}  // namespace spanlm
