// SPDX-License-Identifier: Apache-2.0
#include "engine/step/worker_team.h"

#include <atomic>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace spanlm {
namespace {

TEST(WorkerTeamTest, DoesEveryTaskOnce) {
  for (const int threads : {1, 2, 5}) {
    WorkerTeam team(threads);
    EXPECT_EQ(team.threads(), threads);
    for (const int64_t grain : {1, 3, 64, 1000}) {
      std::vector<int> done(257, 0);

      const char* error =
          team.Run(257, grain, [&](int thread, int64_t begin, int64_t end) {
            EXPECT_GE(thread, 0);
            EXPECT_LT(thread, threads);
            EXPECT_LE(end - begin, threads == 1 ? 257 : grain);
            for (int64_t i = begin; i < end; ++i) ++done[i];
            return static_cast<const char*>(nullptr);
          });

      EXPECT_EQ(error, nullptr);
      EXPECT_THAT(done, testing::Each(1));
    }
  }
}

TEST(WorkerTeamTest, AStageSeesWhatTheStageBeforeItWrote) {
  constexpr int kSize = 64;
  WorkerTeam team(3);
  std::vector<int64_t> values(kSize, 1);
  std::vector<int64_t> sums(kSize, 0);

  // Unordered stages would race, which the tsan build reports, and give other
  // sums.
  for (int round = 0; round < 200; ++round) {
    team.Run(kSize, 1, [&](int /*thread*/, int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        sums[i] = values[i] + values[(i + 1) % kSize];
      }
      return static_cast<const char*>(nullptr);
    });
    team.Run(kSize, 1, [&](int /*thread*/, int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) values[i] = sums[i] % 1000 + 1;
      return static_cast<const char*>(nullptr);
    });
  }

  for (const int64_t value : values) EXPECT_EQ(value, values[0]);
}

TEST(WorkerTeamTest, ReturnsAnErrorAndThenGoesOn) {
  WorkerTeam team(2);
  std::atomic<int> begun{0};

  const char* error =
      team.Run(1000, 1, [&](int /*thread*/, int64_t begin, int64_t /*end*/) {
        begun.fetch_add(1);
        return begin == 5 ? "task five" : nullptr;
      });

  EXPECT_EQ(std::string(error), "task five");
  EXPECT_GE(begun.load(), 6);
  EXPECT_EQ(team.Run(10, 1,
                     [](int, int64_t, int64_t) {
                       return static_cast<const char*>(nullptr);
                     }),
            nullptr);
}

TEST(WorkerTeamTest, NoTasksAreNoWork) {
  WorkerTeam team(2);

  EXPECT_EQ(team.Run(0, 1, [](int, int64_t, int64_t) { return "called"; }),
            nullptr);
}

TEST(WorkerTeamTest, ATeamThatNeverWorkedEnds) {
  for (int i = 0; i < 20; ++i) WorkerTeam team(4);
}

TEST(WorkerTeamTest, CountsAtLeastOneCpu) {
  EXPECT_GE(AllowedCpuCount(), 1);
  EXPECT_LE(AllowedCpuCount(),
            static_cast<int>(std::thread::hardware_concurrency()));
}

}  // namespace
}  // namespace spanlm
