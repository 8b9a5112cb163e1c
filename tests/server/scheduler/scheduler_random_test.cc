// SPDX-License-Identifier: Apache-2.0
// Random commands against the scheduler: every request ends exactly once, with
// a right answer or a stated reason, and everything comes back.
#include <atomic>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "server/jobs/reason.h"
#include "tests/server/scheduler/scheduler_fixture.h"
#include "tests/support/status_matchers.h"

namespace spanlm {
namespace {

// What is known of the outcome of a request once it has ended.
bool IsExpected(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return true;
    case absl::StatusCode::kCancelled:
      return ReasonOf(status) == kReasonClient;
    case absl::StatusCode::kDeadlineExceeded:
      return ReasonOf(status) == kReasonQueued ||
             ReasonOf(status) == kReasonRunning;
    case absl::StatusCode::kResourceExhausted:
      return ReasonOf(status) == kReasonQueueFull ||
             ReasonOf(status) == kReasonQueueBytes;
    case absl::StatusCode::kInternal:
      return ReasonOf(status) == kReasonNan;
    default:
      return false;
  }
}

class SchedulerRandomTest : public SchedulerFixture,
                            public testing::WithParamInterface<int> {
 protected:
  std::string Text(std::mt19937* random, size_t bound) {
    return std::string((*random)() % bound,
                       static_cast<char>('a' + (*random)() % 26));
  }

  RequestTerms Terms(std::mt19937* random) {
    RequestTerms terms = With(static_cast<Priority>((*random)() % 3));
    if ((*random)() % 4 == 0) {
      terms.deadline = clock_.Now() + absl::Milliseconds((*random)() % 200);
    }
    return terms;
  }

  // The requests counted under any outcome, or under one.
  int64_t Counted(absl::string_view part) {
    int64_t sum = 0;
    for (absl::string_view line : absl::StrSplit(metrics_.Text(), '\n')) {
      if (line.find("spanlm_requests_total{") != 0 ||
          line.find(part) == absl::string_view::npos) {
        continue;
      }
      int64_t value = 0;
      const std::vector<absl::string_view> words = absl::StrSplit(line, ' ');
      if (absl::SimpleAtoi(words.back(), &value)) sum += value;
    }
    return sum;
  }
};

TEST_P(SchedulerRandomTest, EveryRequestEndsOnceAndEverythingComesBack) {
  std::mt19937 random(static_cast<uint32_t>(GetParam()));
  FakeEngineOptions engine_options;
  engine_options.slots = 1 + static_cast<int32_t>(random() % 9);
  UseEngine(engine_options);
  options_.policy.max_step_symbols = 16 << (random() % 5);
  options_.max_queue_requests = 12;
  options_.max_queue_bytes = 20000;
  const bool fails = GetParam() % 3 == 0;
  engine_->SetHook([this, fails](int64_t step) {
    clock_.Advance(absl::Milliseconds(1));
    return fails && step % 37 == 36 ? absl::DataLossError("now and then")
                                    : absl::OkStatus();
  });
  std::vector<ScoreRequest*> scores;
  std::vector<GenerateRequest*> generations;
  for (int i = 0; i < 300; ++i) {
    switch (random() % 6) {
      case 0:
      case 1: {
        std::vector<std::string> texts(1 + random() % 5);
        for (std::string& text : texts) text = Text(&random, 400);
        scores.push_back(Score(std::move(texts), Terms(&random)));
        break;
      }
      case 2:
        generations.push_back(
            Generate(Text(&random, 100), 1 + random() % 30, Terms(&random), i));
        break;
      case 3:
        if (!scores.empty()) scores[random() % scores.size()]->cancel.Set();
        scheduler().Wake();
        break;
      case 4:
        if (!generations.empty()) {
          GenerateRequest& chosen = *generations[random() % generations.size()];
          if (random() % 2 == 0) chosen.cancel.Set();
          chosen.sink.room = random() % 2 == 0;
        }
        scheduler().Wake();
        break;
      default:
        std::this_thread::yield();
    }
  }
  for (auto* generation : generations) generation->sink.room = true;
  scheduler().Wake();
  for (auto* score : scores) score->ended.Wait();
  for (auto* generation : generations) generation->sink.ended.Wait();
  EXPECT_TRUE(scheduler().WaitUntilIdle(absl::Seconds(10)));

  int64_t ok_count = 0;
  for (auto* score : scores) {
    EXPECT_EQ(score->ended.count(), 1);
    EXPECT_TRUE(IsExpected(score->status)) << score->status;
    if (!score->status.ok()) continue;
    ++ok_count;
    for (size_t i = 0; i < score->texts.size(); ++i) {
      EXPECT_EQ(score->results[i].total,
                FakeScore(*engine_, score->texts[i], 0));
    }
  }
  for (auto* generation : generations) {
    EXPECT_EQ(generation->sink.ended.count(), 1);
    EXPECT_TRUE(IsExpected(generation->sink.status)) << generation->sink.status;
    if (generation->sink.status.ok()) ++ok_count;
  }
  const int64_t count =
      static_cast<int64_t>(scores.size() + generations.size());
  EXPECT_EQ(Counted("model"), count);
  EXPECT_EQ(Counted("outcome=\"ok\""), ok_count);
  EXPECT_EQ(OpenRequests(), 0);
  EXPECT_EQ(scheduler().Gauges().queue_bytes, 0);
  EXPECT_EQ(engine_->free_slot_count(), engine_options.slots);
}

INSTANTIATE_TEST_SUITE_P(Seeds, SchedulerRandomTest, testing::Range(0, 12));

// Several threads submit and cancel at once.
TEST_F(SchedulerFixture, ManyThreadsMayUseAScheduler) {
  scheduler();
  std::vector<std::thread> threads;
  std::atomic<int> ended{0};
  for (uint32_t seed = 0; seed < 4; ++seed) {
    threads.emplace_back([this, seed, &ended] {
      std::mt19937 random(seed);
      for (int i = 0; i < 40; ++i) {
        auto* const request = Score({std::string(random() % 500, 'x')});
        if (random() % 3 == 0) {
          request->cancel.Set();
          scheduler().Wake();
        }
        (void)scheduler().Gauges();
        request->ended.Wait();
        ended += IsExpected(request->status) ? 1 : 0;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();

  EXPECT_EQ(ended.load(), 160);
  EXPECT_EQ(engine_->free_slot_count(), 4);
}

}  // namespace
}  // namespace spanlm
