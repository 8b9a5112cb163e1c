// SPDX-License-Identifier: Apache-2.0
#include "server/scheduler/scheduler.h"

#include <algorithm>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "server/jobs/evaluate_job.h"
#include "tests/server/scheduler/scheduler_fixture.h"
#include "tests/support/status_matchers.h"

namespace spanlm {
namespace {

using testing::HasSubstr;

std::string RandomText(std::mt19937* random, size_t size) {
  std::string text;
  for (size_t i = 0; i < size; ++i) {
    text.push_back(static_cast<char>((*random)() % 256));
  }
  return text;
}

class SchedulerTest : public SchedulerFixture {};

TEST_F(SchedulerTest, RunsARequestOfSeveralJobs) {
  auto* const request = Score({"one", "two", "three", ""});
  request->ended.Wait();

  ASSERT_OK(request->status);
  ASSERT_EQ(request->results.size(), 4u);
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(request->results[i].total,
              FakeScore(*engine_, request->texts[i], 0));
  }
  EXPECT_TRUE(scheduler().WaitUntilIdle(absl::Seconds(10)));
  EXPECT_EQ(engine_->free_slot_count(), 4);
}

TEST_F(SchedulerTest, SharesAStepAmongRequests) {
  engine_->Hold();
  auto* const first = Score({"first"});
  engine_->WaitUntilHeld();
  auto* const second = Score({"second"});
  auto* const third = Generate("third", 2);
  engine_->ReleaseAll();
  for (auto* ended : {&first->ended, &second->ended, &third->sink.ended}) {
    ended->Wait();
  }

  EXPECT_EQ(engine_->steps()[0].size(), 1u);
  EXPECT_EQ(engine_->steps()[1].size(), 2u);
}

TEST_F(SchedulerTest, StepsAtMostWhatEngineAndPolicyAllow) {
  FakeEngineOptions engine_options;
  engine_options.max_step_symbols = 100;  // the engine checks it
  UseEngine(engine_options);
  options_.policy.max_step_symbols = 1000;
  auto* const request = Score({std::string(950, 'x')});
  request->ended.Wait();

  EXPECT_OK(request->status);
  EXPECT_EQ(engine_->steps().size(), 10u);
}

TEST_F(SchedulerTest, WaitsForASlotAndRunsThen) {
  FakeEngineOptions engine_options;
  engine_options.slots = 2;
  UseEngine(engine_options);
  std::vector<ScoreRequest*> requests;
  for (int i = 0; i < 20; ++i) {
    requests.push_back(Score({"text " + std::to_string(i), "more"}));
  }
  for (auto* request : requests) {
    request->ended.Wait();
    EXPECT_OK(request->status);
  }

  for (const FakeStep& step : engine_->steps()) EXPECT_LE(step.size(), 2u);
}

// While a long score runs, every step carries the byte of every generation:
// the gap between two bytes is one step.
TEST_F(SchedulerTest, EveryStepCarriesEveryGenerationBesideALongScore) {
  FakeEngineOptions engine_options;
  engine_options.slots = 16;
  UseEngine(engine_options);
  engine_->Hold();
  auto* const score =
      Score({std::string(10 << 20, 'x')}, With(Priority::kStandard));
  engine_->WaitUntilHeld();
  std::vector<GenerateRequest*> generations;
  for (int i = 0; i < 10; ++i) {
    generations.push_back(Generate("p", 50, {}, i));
  }
  engine_->ReleaseAll();
  for (auto* request : generations) request->sink.ended.Wait();
  score->cancel.Set();
  scheduler().Wake();
  score->ended.Wait();

  const std::vector<FakeStep> steps = engine_->steps();
  ASSERT_GE(steps.size(), 51u);
  // Step 0 is the score alone, step 1 reads the prompts, 2 to 50 decode.
  for (size_t i = 2; i <= 50; ++i) {
    ASSERT_EQ(steps[i].size(), 11u) << i;
    for (const FakeSequence& sequence : steps[i]) {
      EXPECT_LE(sequence.symbols, 256) << i;
    }
  }
}

TEST_F(SchedulerTest, ALongPromptDoesNotDelayAShortScore) {
  engine_->Hold();
  auto* const longer = Score({std::string(100000, 'x')});
  engine_->WaitUntilHeld();
  auto* const shorter = Score({std::string(200, 'y')});
  engine_->Release(2);
  shorter->ended.Wait();

  EXPECT_OK(shorter->status);
  EXPECT_EQ(longer->ended.count(), 0);
}

// A needle's score, bit by bit, alone and amid random companions; the control
// is that the needle's score does depend on its own text.
TEST_F(SchedulerTest, ANeedlesScoreDoesNotDependOnItsCompany) {
  FakeEngineOptions engine_options;
  engine_options.slots = 8;
  UseEngine(engine_options);
  options_.policy.max_step_symbols = 64;
  std::mt19937 random(13);
  const std::string needle = RandomText(&random, 700);
  const BitsTotal want = FakeScore(*engine_, needle, 0);
  auto* const alone = Generate(needle.substr(0, 40), 30);
  alone->sink.ended.Wait();
  for (int round = 0; round < 20; ++round) {
    std::vector<ScoreRequest*> strangers;
    std::vector<GenerateRequest*> writers;
    const auto add_strangers = [&] {
      for (uint32_t i = random() % 4; i > 0; --i) {
        strangers.push_back(Score({RandomText(&random, random() % 300)},
                                  With(static_cast<Priority>(random() % 3))));
        writers.push_back(
            Generate(RandomText(&random, random() % 50), 1 + random() % 20));
      }
    };
    add_strangers();
    auto* const scored = Score({needle});
    auto* const written = Generate(needle.substr(0, 40), 30);
    add_strangers();
    std::string other = needle;
    other[350] = static_cast<char>(other[350] + 1);
    auto* const control = Score({other});
    scored->ended.Wait();
    written->sink.ended.Wait();
    control->ended.Wait();
    for (auto* stranger : strangers) stranger->ended.Wait();
    for (auto* writer : writers) writer->sink.ended.Wait();

    ASSERT_OK(scored->status);
    ASSERT_EQ(scored->results[0].total, want) << round;
    ASSERT_EQ(written->sink.text, alone->sink.text) << round;
    ASSERT_FALSE(control->results[0].total == want);
  }
  const std::vector<FakeStep> steps = engine_->steps();
  EXPECT_TRUE(std::any_of(steps.begin(), steps.end(),
                          [](const FakeStep& s) { return s.size() > 3; }));
}

TEST_F(SchedulerTest, PassesASlowReaderBy) {
  engine_->Hold();
  auto* const slow = Generate("slow", 100);
  engine_->WaitUntilHeld();
  engine_->Release(5);
  engine_->WaitUntilHeld();
  slow->sink.room = false;
  engine_->ReleaseAll();
  auto* const other = Generate("other", 500);
  other->sink.ended.Wait();

  EXPECT_EQ(slow->sink.ended.count(), 0);
  EXPECT_EQ(slow->sink.taken.load(), 6);  // the step held had its byte
  slow->sink.room = true;
  scheduler().Wake();
  slow->sink.ended.Wait();
  EXPECT_OK(slow->sink.status);
  EXPECT_EQ(slow->sink.text.size(), 100u);
}

TEST_F(SchedulerTest, HigherPrioritiesGetSlotsFirst) {
  FakeEngineOptions engine_options;
  engine_options.slots = 1;
  UseEngine(engine_options);
  engine_->Hold();
  Score({"running"});
  engine_->WaitUntilHeld();
  auto* const batch = Score({"batch"}, With(Priority::kBatch));
  auto* const interactive =
      Score({"interactive"}, With(Priority::kInteractive));
  engine_->Release(2);
  interactive->ended.Wait();

  EXPECT_EQ(batch->ended.count(), 0);
}

TEST_F(SchedulerTest, BatchRequestsLeaveSomeSlotsToOthers) {
  FakeEngineOptions engine_options;
  engine_options.slots = 16;
  UseEngine(engine_options);
  engine_->Hold();
  auto* const batch = Score(std::vector<std::string>(20, std::string(99, 'b')),
                            With(Priority::kBatch));
  engine_->WaitUntilHeld();

  EXPECT_EQ(engine_->free_slot_count(), 2);
  auto* const standard = Score({"s"});
  engine_->Release(2);
  standard->ended.Wait();
  EXPECT_OK(standard->status);
  engine_->ReleaseAll();
  batch->ended.Wait();
  EXPECT_OK(batch->status);
}

TEST_F(SchedulerTest, RequestsTakeTurnsAtTheSlots) {
  FakeEngineOptions engine_options;
  engine_options.slots = 1;
  UseEngine(engine_options);
  engine_->Hold();
  Score({"running"});
  engine_->WaitUntilHeld();
  auto* const many = Score(std::vector<std::string>(100, "item"));
  auto* const one = Score({"one"});
  engine_->Release(3);  // running, the first of many, one
  one->ended.Wait();

  EXPECT_EQ(many->ended.count(), 0);
}

TEST_F(SchedulerTest, TimesQueueComputeAndAll) {
  FakeEngineOptions engine_options;
  engine_options.slots = 1;
  UseEngine(engine_options);
  engine_->SetHook([this](int64_t) {
    clock_.Advance(absl::Seconds(2));
    return absl::OkStatus();
  });
  engine_->Hold();
  auto* const first = Score({std::string(1000, 'x')});  // two steps
  engine_->WaitUntilHeld();
  auto* const second = Score({"y", "z"});
  clock_.Advance(absl::Seconds(1));
  engine_->ReleaseAll();
  first->ended.Wait();
  second->ended.Wait();

  EXPECT_EQ(first->timing.queue, absl::ZeroDuration());
  EXPECT_EQ(first->timing.compute, absl::Seconds(5));
  EXPECT_EQ(first->timing.total, absl::Seconds(5));
  EXPECT_EQ(second->timing.queue, absl::Seconds(5));
  EXPECT_EQ(second->timing.compute, absl::Seconds(4));
  EXPECT_EQ(second->timing.total, absl::Seconds(9));
}

TEST_F(SchedulerTest, GaugesCountWhatIsThere) {
  FakeEngineOptions engine_options;
  engine_options.slots = 2;
  UseEngine(engine_options);
  engine_->Hold();
  auto* const running = Score({"a", "b", "c"}, With(Priority::kInteractive));
  engine_->WaitUntilHeld();
  auto* const waiting = Generate("prompt", 1, With(Priority::kBatch));

  const ModelGauges gauges = scheduler().Gauges();

  EXPECT_EQ(gauges.running[0][0], 1);
  EXPECT_EQ(gauges.waiting[1][2], 1);
  EXPECT_EQ(OpenRequests(), 2);
  EXPECT_GT(gauges.queue_bytes, 0);
  EXPECT_EQ(gauges.busy_slots, 2);
  EXPECT_EQ(gauges.slot_count, 2);
  EXPECT_EQ(gauges.heartbeat, clock_.Now());
  engine_->ReleaseAll();
  running->ended.Wait();
  waiting->sink.ended.Wait();
  EXPECT_TRUE(scheduler().WaitUntilIdle(absl::Seconds(10)));
  const ModelGauges after = scheduler().Gauges();
  EXPECT_EQ(OpenRequests(), 0);
  EXPECT_EQ(after.queue_bytes, 0);
  EXPECT_EQ(after.busy_slots, 0);
}

TEST_F(SchedulerTest, TellsForHowLongItsThreadDoesNotRest) {
  EXPECT_EQ(scheduler().RoundAge(), absl::ZeroDuration());
  engine_->Hold();
  auto* const request = Score({"x"});
  engine_->WaitUntilHeld();
  clock_.Advance(absl::Seconds(70));

  EXPECT_EQ(scheduler().RoundAge(), absl::Seconds(70));
  engine_->ReleaseAll();
  request->ended.Wait();
  while (scheduler().RoundAge() > absl::ZeroDuration()) {
    std::this_thread::yield();
  }
}

TEST_F(SchedulerTest, ASinkThatHangsIsSeen) {
  struct HangingSink : RecordingEvaluateSink {
    void OnScored(absl::string_view /*bytes*/) override {
      is_there.Notify();
      go_on.Wait();
    }
    EndSignal is_there, go_on;
  };
  HangingSink sink;
  EvaluateOptions options;
  options.end = 10;
  std::vector<std::unique_ptr<Job>> jobs;
  jobs.push_back(std::make_unique<EvaluateJob>(
      &symbols_, options,
      [](int64_t, int64_t count, std::string* bytes) {
        bytes->assign(static_cast<size_t>(count), 'e');
        return absl::OkStatus();
      },
      &sink, clock_.reader()));
  scheduler().Submit({}, std::move(jobs));
  sink.is_there.Wait();
  clock_.Advance(absl::Seconds(70));

  EXPECT_EQ(scheduler().RoundAge(), absl::Seconds(70));
  sink.go_on.Notify();
  sink.ended.Wait();
}

TEST_F(SchedulerTest, CountsBytesStepsAndOutcomes) {
  auto* const score = Score({"12345"});
  score->ended.Wait();
  auto* const generation = Generate("123", 4);
  generation->sink.ended.Wait();

  const std::string text = metrics_.Text();
  for (const char* line :
       {R"(spanlm_requests_total{kind="score",model="fake",outcome="ok"} 1)",
        R"(spanlm_requests_total{kind="generate",model="fake",outcome="ok"} 1)",
        R"(spanlm_scored_bytes_total{kind="score",model="fake"} 5)",
        R"(spanlm_read_bytes_total{kind="generate",model="fake"} 3)",
        R"(spanlm_generated_bytes_total{kind="generate",model="fake"} 4)",
        R"(spanlm_time_to_first_byte_seconds_count{model="fake"} 1)",
        R"(spanlm_inter_byte_seconds_count{model="fake"} 3)",
        R"(spanlm_step_sequences_count{model="fake"} 5)",
        R"(spanlm_step_bytes_sum{model="fake"} 11)",
        R"(spanlm_step_seconds_count{model="fake",phase="decode"} 3)",
        R"(spanlm_request_queue_seconds_count{kind="score",model="fake"} 1)"}) {
    EXPECT_THAT(text, HasSubstr(line));
  }
}

}  // namespace
}  // namespace spanlm
