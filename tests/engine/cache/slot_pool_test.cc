// SPDX-License-Identifier: Apache-2.0
#include "engine/cache/slot_pool.h"

#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace spanlm {
namespace {

TEST(SlotPoolTest, HandsOutEachSlotOnceAndThenRefusesNamingTheCount) {
  SlotPool pool(3);
  std::vector<Slot> slots;
  std::set<int32_t> indices;

  for (int i = 0; i < 3; ++i) {
    ASSERT_OK_AND_ASSIGN(Slot slot, pool.Take());
    indices.insert(slot.index());
    slots.push_back(std::move(slot));
  }

  EXPECT_EQ(indices, (std::set<int32_t>{0, 1, 2}));
  EXPECT_EQ(pool.free_count(), 0);
  EXPECT_THAT(pool.Take(), StatusIs(absl::StatusCode::kResourceExhausted,
                                    "all 3 slots are in use"));
}

TEST(SlotPoolTest, TakesASlotBackWhenItsHolderDies) {
  SlotPool pool(1);
  { ASSERT_OK(pool.Take()); }

  EXPECT_EQ(pool.free_count(), 1);
  EXPECT_OK(pool.Take());
}

TEST(SlotPoolTest, MovingASlotKeepsItTakenOnce) {
  SlotPool pool(2);
  ASSERT_OK_AND_ASSIGN(Slot first, pool.Take());
  const int32_t index = first.index();

  Slot second = std::move(first);

  EXPECT_EQ(second.index(), index);
  EXPECT_EQ(first.index(), -1);  // NOLINT(bugprone-use-after-move)
  EXPECT_EQ(pool.free_count(), 1);
}

TEST(SlotPoolTest, AssigningOverASlotGivesTheOldOneBack) {
  SlotPool pool(2);
  ASSERT_OK_AND_ASSIGN(Slot first, pool.Take());
  ASSERT_OK_AND_ASSIGN(Slot second, pool.Take());
  const int32_t kept = second.index();

  first = std::move(second);

  EXPECT_EQ(first.index(), kept);
  EXPECT_EQ(pool.free_count(), 1);
}

TEST(SlotPoolTest, AssigningASlotToItselfChangesNothing) {
  SlotPool pool(1);
  ASSERT_OK_AND_ASSIGN(Slot slot, pool.Take());
  Slot& same = slot;

  slot = std::move(same);

  EXPECT_EQ(slot.index(), 0);
  EXPECT_EQ(pool.free_count(), 0);
}

TEST(SlotPoolTest, AnEmptyPoolRefusesAtOnce) {
  SlotPool pool(0);

  EXPECT_THAT(pool.Take(), StatusIs(absl::StatusCode::kResourceExhausted));
}

TEST(SlotPoolTest, ThreadsNeverHoldTheSameSlot) {
  constexpr int kSlots = 4;
  SlotPool pool(kSlots);
  std::vector<int> holders(kSlots, 0);  // written only by a slot's holder
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 2000; ++i) {
        absl::StatusOr<Slot> slot = pool.Take();
        if (slot.ok()) ++holders[slot->index()];
      }
    });
  }

  for (std::thread& thread : threads) thread.join();

  EXPECT_EQ(pool.free_count(), kSlots);
  EXPECT_EQ(holders[0] + holders[1] + holders[2] + holders[3], 8000);
}

TEST(SlotPoolDeathTest, APoolMayNotDieBeforeItsSlots) {
  testing::GTEST_FLAG(death_test_style) = "threadsafe";
  EXPECT_DEATH(
      {
        Slot slot;
        SlotPool pool(1);
        slot = *pool.Take();
      },
      "invariant broken");
}

}  // namespace
}  // namespace spanlm
