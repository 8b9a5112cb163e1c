// SPDX-License-Identifier: Apache-2.0
#include "server/scheduler/batch_policy.h"

#include <algorithm>
#include <numeric>
#include <random>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace spanlm {
namespace {

using testing::ElementsAre;

Demand Decode(Priority priority = Priority::kStandard) {
  return {priority, {Phase::kDecode, 1}};
}
Demand Prefill(int64_t symbols, Priority priority = Priority::kStandard) {
  return {priority, {Phase::kPrefill, symbols}};
}

BatchPolicy Of(int32_t max_step_symbols) { return {max_step_symbols}; }

int32_t Sum(const std::vector<int32_t>& plan) {
  return std::accumulate(plan.begin(), plan.end(), 0);
}

TEST(BatchPolicyTest, GivesAJobAloneAllItWants) {
  EXPECT_THAT(PlanStep({Prefill(100)}, Of(512)), ElementsAre(100));
  EXPECT_THAT(PlanStep({Prefill(10'000'000)}, Of(512)), ElementsAre(512));
  EXPECT_THAT(PlanStep({Decode()}, Of(512)), ElementsAre(1));
}

TEST(BatchPolicyTest, GivesNothingToWhomWantsNothing) {
  EXPECT_THAT(PlanStep({}, Of(512)), ElementsAre());
  EXPECT_THAT(PlanStep({Prefill(0), {Priority::kStandard, {Phase::kDecode, 0}}},
                       Of(512)),
              ElementsAre(0, 0));
}

TEST(BatchPolicyTest, AJobIsAloneIfTheOthersWait) {
  EXPECT_THAT(PlanStep({Prefill(0), Prefill(9999)}, Of(512)),
              ElementsAre(0, 512));
}

TEST(BatchPolicyTest, ALongPrefillLeavesHalfAStepToAnother) {
  EXPECT_THAT(PlanStep({Prefill(10'000'000), Prefill(5)}, Of(512)),
              ElementsAre(256, 5));
}

TEST(BatchPolicyTest, ADecodeWaitsForAnEighthOfAStep) {
  EXPECT_THAT(PlanStep({Prefill(10'000'000), Decode()}, Of(512)),
              ElementsAre(64, 1));
  EXPECT_THAT(PlanStep({Prefill(10'000'000, Priority::kBatch), Decode(),
                        Prefill(9999), Prefill(9999)},
                       Of(512)),
              ElementsAre(4, 1, 30, 30));
}

TEST(BatchPolicyTest, DecodesGoFirst) {
  std::vector<Demand> demands(10, Decode());
  demands.insert(demands.begin(), Prefill(10'000'000));

  const std::vector<int32_t> plan = PlanStep(demands, Of(16));

  EXPECT_THAT(plan, ElementsAre(2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1));
}

TEST(BatchPolicyTest, PrefillsKeepAnEighthWhenDecodesFillTheStep) {
  std::vector<Demand> demands(100, Decode());
  demands.push_back(Prefill(1000));

  const std::vector<int32_t> plan = PlanStep(demands, Of(64));

  EXPECT_EQ(Sum(plan), 64);
  EXPECT_EQ(plan.back(), 8);
}

TEST(BatchPolicyTest, SharesEvenlyAmongEquals) {
  EXPECT_THAT(
      PlanStep({Prefill(9999), Prefill(9999), Prefill(9999), Prefill(10)},
               Of(160)),
      ElementsAre(50, 50, 50, 10));
}

TEST(BatchPolicyTest, HigherPriorityTakesWhatTheMinimumShareLeaves) {
  EXPECT_THAT(PlanStep({Prefill(999, Priority::kBatch),
                        Prefill(999, Priority::kInteractive),
                        Prefill(999, Priority::kStandard)},
                       Of(160)),
              ElementsAre(10, 80, 70));
}

TEST(BatchPolicyTest, HigherPriorityDecodesFirst) {
  EXPECT_THAT(PlanStep({Decode(Priority::kBatch), Decode(Priority::kStandard),
                        Decode(Priority::kInteractive)},
                       Of(2)),
              ElementsAre(0, 1, 1));
}

TEST(BatchPolicyTest, EarlierOnesGoFirstWhenTheMinimumShareDoesNotReachAll) {
  EXPECT_THAT(PlanStep({Prefill(9), Prefill(9), Prefill(9)}, Of(2)),
              ElementsAre(1, 1, 0));
}

std::vector<Demand> RandomDemands(std::mt19937* random) {
  std::vector<Demand> demands((*random)() % 40);
  for (Demand& demand : demands) {
    demand.priority = static_cast<Priority>((*random)() % 3);
    demand.work.phase = static_cast<Phase>((*random)() % 2);
    demand.work.symbols = (*random)() % 2;
    if (demand.work.phase == Phase::kPrefill) {
      demand.work.symbols = (*random)() % 3 == 0 ? 0 : (*random)() % 3000;
    }
  }
  return demands;
}

TEST(BatchPolicyTest, KeepsItsPromisesForRandomDemands) {
  std::mt19937 random(10);
  for (int round = 0; round < 5000; ++round) {
    const std::vector<Demand> demands = RandomDemands(&random);
    const BatchPolicy policy = Of(2 + static_cast<int32_t>(random() % 600));
    const std::vector<int32_t> plan = PlanStep(demands, policy);

    ASSERT_EQ(plan.size(), demands.size());
    const int32_t sum = Sum(plan);
    ASSERT_LE(sum, policy.max_step_symbols);
    const auto count = [&](Phase phase) {
      return std::count_if(demands.begin(), demands.end(),
                           [&](const Demand& d) {
                             return d.work.symbols > 0 && d.work.phase == phase;
                           });
    };
    int64_t cap = policy.max_step_symbols;  // of one prefill
    int64_t all_prefills = policy.max_step_symbols;
    if (count(Phase::kDecode) > 0) {
      all_prefills = cap = policy.prefills_beside_decodes();
    } else if (count(Phase::kPrefill) > 1) {
      cap /= 2;
    }
    int64_t prefilled = 0;
    for (size_t i = 0; i < plan.size(); ++i) {
      const Work& work = demands[i].work;
      ASSERT_GE(plan[i], 0);
      ASSERT_LE(plan[i], work.symbols);
      if (work.phase == Phase::kPrefill) {
        ASSERT_LE(plan[i], cap);
        prefilled += plan[i];
      }
    }
    ASSERT_LE(prefilled, all_prefills);
    // Room that is left is left by nobody who could have used it.
    for (size_t i = 0; i < plan.size(); ++i) {
      const Work& work = demands[i].work;
      if (work.phase == Phase::kDecode) {
        if (sum - prefilled < policy.max_step_symbols - all_prefills) {
          ASSERT_EQ(plan[i], work.symbols);
        }
      } else if (prefilled < all_prefills) {
        ASSERT_EQ(plan[i], std::min(work.symbols, cap));
      }
    }
  }
}

TEST(BatchPolicyTest, TheMinimumShareComesBeforePriority) {
  std::mt19937 random(11);
  for (int round = 0; round < 2000; ++round) {
    const BatchPolicy policy = Of(512);
    std::vector<Demand> demands(1 + random() % 14);
    for (Demand& demand : demands) {
      demand =
          Prefill(1 + random() % 2000, static_cast<Priority>(random() % 3));
    }
    const std::vector<int32_t> plan = PlanStep(demands, policy);
    for (size_t i = 0; i < plan.size(); ++i) {
      EXPECT_GE(plan[i], std::min<int64_t>(demands[i].work.symbols, 512 / 16));
    }
  }
}

TEST(BatchPolicyTest, InTurnEveryoneIsServed) {
  std::vector<Demand> demands(40, Prefill(1'000'000));
  std::vector<int64_t> served(40, 0);
  std::vector<size_t> order(40);
  std::iota(order.begin(), order.end(), 0u);
  for (int step = 0; step < 40; ++step) {
    const std::vector<int32_t> plan = PlanStep(demands, Of(8));
    for (size_t i = 0; i < 40; ++i) served[order[i]] += plan[i];
    std::rotate(order.begin(), order.begin() + 1, order.end());
  }

  EXPECT_EQ(*std::min_element(served.begin(), served.end()), 8);
  EXPECT_EQ(*std::max_element(served.begin(), served.end()), 8);
}

}  // namespace
}  // namespace spanlm
