// SPDX-License-Identifier: Apache-2.0
// The ways in which requests end before their time.
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "gmock/gmock.h"
#include "server/jobs/evaluate_job.h"
#include "server/jobs/reason.h"
#include "server/jobs/score_stream_job.h"
#include "tests/server/scheduler/scheduler_fixture.h"
#include "tests/support/status_matchers.h"

namespace spanlm {
namespace {

using absl::StatusCode;
using testing::HasSubstr;

using SchedulerEndTest = SchedulerFixture;

TEST_F(SchedulerEndTest, ACancelledRequestFreesItsSlotWithinAStep) {
  engine_->Hold();
  auto* const score = Score({std::string(100000, 'x'), "short"});
  auto* const generation = Generate("prompt", 100000);
  engine_->WaitUntilHeld();
  score->cancel.Set();
  scheduler().Wake();
  engine_->Release(1);
  score->ended.Wait();

  ExpectEnd(score->status, StatusCode::kCancelled, kReasonClient);
  EXPECT_GE(engine_->free_slot_count(), 3);
  generation->cancel.Set();
  engine_->ReleaseAll();
  scheduler().Wake();
  generation->sink.ended.Wait();
  ExpectEnd(generation->sink.status, StatusCode::kCancelled, kReasonClient);
  ExpectNothingLeft();
  ExpectCounted("score", "cancelled", 1);
  ExpectCounted("generate", "cancelled", 1);
}

TEST_F(SchedulerEndTest, WhatAClientMayNotSendCountsAsInvalid) {
  engine_->Hold();
  auto* const request = Score({std::string(100000, 'x')});
  engine_->WaitUntilHeld();
  request->cancel.Set(CancelFlag::Why::kInvalid);
  request->cancel.Set();  // and then it goes away
  scheduler().Wake();
  engine_->ReleaseAll();
  request->ended.Wait();

  EXPECT_THAT(request->status, StatusIs(StatusCode::kInvalidArgument));
  ExpectNothingLeft();
  ExpectCounted("score", "invalid", 1);
}

TEST_F(SchedulerEndTest, AWaitingRequestCanBeCancelled) {
  engine_->Hold();
  auto* const running = Score(std::vector<std::string>(4, "running"));
  engine_->WaitUntilHeld();
  auto* const waiting = Score({"a", "b"});
  waiting->cancel.Set();
  scheduler().Wake();
  engine_->Release(1);
  waiting->ended.Wait();

  ExpectEnd(waiting->status, StatusCode::kCancelled, kReasonClient);
  EXPECT_EQ(waiting->timing.compute, absl::ZeroDuration());
  engine_->ReleaseAll();
  running->ended.Wait();
  EXPECT_OK(running->status);
  ExpectNothingLeft();
}

TEST_F(SchedulerEndTest, APausedGenerationCanBeCancelled) {
  auto* const generation = Generate("x", 100);
  generation->sink.room = false;
  generation->cancel.Set();
  scheduler().Wake();
  generation->sink.ended.Wait();

  ExpectEnd(generation->sink.status, StatusCode::kCancelled, kReasonClient);
  ExpectNothingLeft();
}

TEST_F(SchedulerEndTest, RefusesAPassedDeadlineOnEntry) {
  auto* const request = Score({"x"}, EndingAfter(absl::ZeroDuration()));

  EXPECT_EQ(request->ended.count(), 1) << "at once, on this thread";
  ExpectEnd(request->status, StatusCode::kDeadlineExceeded, kReasonQueued);
  EXPECT_TRUE(engine_->steps().empty());
  ExpectCounted("score", "deadline", 1);
}

TEST_F(SchedulerEndTest, ADeadlineEndsARunningRequest) {
  engine_->Hold();
  auto* const request =
      Score({std::string(100000, 'x')}, EndingAfter(absl::Seconds(5)));
  engine_->WaitUntilHeld();
  clock_.Advance(absl::Seconds(6));
  engine_->Release(1);
  request->ended.Wait();

  ExpectEnd(request->status, StatusCode::kDeadlineExceeded, kReasonRunning);
  ExpectNothingLeft();
}

// A client whose time is over resets its call a little before the server knows.
TEST_F(SchedulerEndTest, ACancelAtTheDeadlineCountsAsTheDeadline) {
  struct Case {
    absl::Duration timeout, left;
    bool at_end;
  };
  const Case cases[] = {
      {absl::Seconds(5), absl::Milliseconds(70), false},
      {absl::Seconds(5), absl::Milliseconds(60), true},
      {absl::Hours(1), absl::Milliseconds(1020), false},
      {absl::Hours(1), absl::Milliseconds(1010), true},
  };
  for (const auto& [timeout, left, at_end] : cases) {
    engine_->Hold();
    auto* const request =
        Score({std::string(100000, 'x')}, EndingAfter(timeout));
    engine_->WaitUntilHeld();
    clock_.Advance(timeout - left);
    request->cancel.Set();
    scheduler().Wake();
    engine_->ReleaseAll();
    request->ended.Wait();

    if (at_end) {
      ExpectEnd(request->status, StatusCode::kDeadlineExceeded, kReasonRunning);
    } else {
      ExpectEnd(request->status, StatusCode::kCancelled, kReasonClient);
    }
  }
  ExpectNothingLeft();
  ExpectCounted("score", "deadline", 2);
  ExpectCounted("score", "cancelled", 2);
}

TEST_F(SchedulerEndTest, ADeadlineEndsAWaitingRequest) {
  FakeEngineOptions options;
  options.slots = 1;
  UseEngine(options);
  engine_->Hold();
  auto* const running = Score({std::string(100000, 'x')});
  engine_->WaitUntilHeld();
  auto* const waiting = Score({"y"}, EndingAfter(absl::Seconds(5)));
  clock_.Advance(absl::Seconds(6));
  engine_->Release(1);
  waiting->ended.Wait();

  ExpectEnd(waiting->status, StatusCode::kDeadlineExceeded, kReasonQueued);
  EXPECT_EQ(running->ended.count(), 0);
}

TEST_F(SchedulerEndTest, AFullQueueAnswersAtOnce) {
  options_.max_queue_requests = 2;
  engine_->Hold();
  auto* const running = Score(std::vector<std::string>(4, "running"));
  engine_->WaitUntilHeld();
  auto* const first = Score({"1", "1", "1"});
  auto* const second = Score({"2"});
  auto* const third = Score({"3", "3"});

  EXPECT_EQ(third->ended.count(), 1) << "at once, on this thread";
  ExpectEnd(third->status, StatusCode::kResourceExhausted, kReasonQueueFull);
  engine_->ReleaseAll();
  for (ScoreRequest* request : {running, first, second}) {
    request->ended.Wait();
    EXPECT_OK(request->status);
  }
  ExpectNothingLeft();
  ExpectCounted("score", "rejected", 1);
  EXPECT_THAT(metrics_.Text(),
              HasSubstr("spanlm_rejections_total{reason=\"QUEUE_FULL\"} 1"));
}

TEST_F(SchedulerEndTest, AQueueFullOfBytesAnswersAtOnce) {
  options_.max_queue_bytes = 100000;
  engine_->Hold();
  Score(std::vector<std::string>(4, "running"));
  engine_->WaitUntilHeld();
  auto* const fits = Score({std::string(90000, 'x')});
  auto* const refused = Score({std::string(20000, 'x')});
  ExpectEnd(refused->status, StatusCode::kResourceExhausted, kReasonQueueBytes);

  auto* const small = Score({"small"});
  engine_->ReleaseAll();
  fits->ended.Wait();
  small->ended.Wait();
  EXPECT_OK(fits->status);
  EXPECT_OK(small->status);
  ExpectNothingLeft();
}

TEST_F(SchedulerEndTest, CancelAllEndsWhatIsThere) {
  engine_->Hold();
  auto* const running = Score(std::vector<std::string>(6, "running"));
  engine_->WaitUntilHeld();
  auto* const waiting = Generate("x", 10);
  scheduler().CancelAll();
  auto* const later = Score({"later"});
  engine_->ReleaseAll();
  running->ended.Wait();
  waiting->sink.ended.Wait();
  later->ended.Wait();

  ExpectEnd(running->status, StatusCode::kCancelled, kReasonAdmin);
  ExpectEnd(waiting->sink.status, StatusCode::kCancelled, kReasonAdmin);
  EXPECT_OK(later->status);
  ExpectNothingLeft();
}

TEST_F(SchedulerEndTest, EndsAllJobsWithCancelledWhenDestroyed) {
  engine_->Hold();
  auto* const running = Score({std::string(100000, 'x')});
  engine_->WaitUntilHeld();
  auto* const waiting = Score(std::vector<std::string>(10, "x"));
  engine_->ReleaseAll();
  scheduler_.reset();

  EXPECT_EQ(running->ended.count(), 1);
  EXPECT_EQ(waiting->ended.count(), 1);
  ExpectEnd(running->status, StatusCode::kCancelled, kReasonAdmin);
  EXPECT_EQ(engine_->free_slot_count(), 4);
}

TEST_F(SchedulerEndTest, AFailedStepEndsItsJobsAndNoOthers) {
  engine_->SetHook([](int64_t step) {
    return step == 1 ? absl::DataLossError("a log-probability is NaN")
                     : absl::OkStatus();
  });
  engine_->Hold();
  auto* const first = Score({std::string(100000, 'x')});
  engine_->WaitUntilHeld();
  auto* const second = Generate("y", 100);
  engine_->Release(1);
  engine_->WaitUntilHeld();  // step 1 holds both
  auto* const third = Score({"third"});
  engine_->ReleaseAll();
  first->ended.Wait();
  second->sink.ended.Wait();
  third->ended.Wait();

  EXPECT_THAT(first->status, StatusIs(StatusCode::kInternal, "is NaN"));
  ExpectEnd(second->sink.status, StatusCode::kInternal, kReasonNan);
  EXPECT_OK(third->status);
  ExpectNothingLeft();
  ExpectCounted("score", "error", 1);
  ExpectCounted("score", "ok", 1);
}

TEST_F(SchedulerEndTest, AFailedEngineEndsAllAndTakesNoMore) {
  engine_->SetHook([](int64_t step) {
    return step == 1 ? absl::InternalError("the device is gone")
                     : absl::OkStatus();
  });
  engine_->Hold();
  auto* const running = Score({std::string(100000, 'x')});
  engine_->WaitUntilHeld();
  auto* const waiting = Score(std::vector<std::string>(10, "x"));
  EXPECT_FALSE(scheduler().HasFailed());
  engine_->ReleaseAll();
  running->ended.Wait();
  waiting->ended.Wait();
  auto* const late = Generate("y", 100);
  late->sink.ended.Wait();

  ExpectEnd(running->status, StatusCode::kUnavailable, kReasonEngineFailed);
  ExpectEnd(waiting->status, StatusCode::kUnavailable, kReasonEngineFailed);
  ExpectEnd(late->sink.status, StatusCode::kUnavailable, kReasonEngineFailed);
  EXPECT_TRUE(scheduler().HasFailed());
  ExpectNothingLeft();
  ExpectCounted("score", "error", 2);
}

TEST_F(SchedulerEndTest, LogsEachRequestsEndWhereAsked) {
  options_.model = "fake";
  SetLogLevel(LogLevel::kDebug);
  testing::internal::CaptureStderr();
  auto* const request = Score({"abc", "de"});
  request->ended.Wait();
  ExpectNothingLeft();
  SetLogLevel(LogLevel::kInfo);

  const std::string log = testing::internal::GetCapturedStderr();
  EXPECT_THAT(
      log,
      HasSubstr(R"("event":"request_ended","model":"fake","kind":"score")"));
  EXPECT_THAT(log, HasSubstr(R"("outcome":"ok")"));
  EXPECT_THAT(log, HasSubstr(R"("scored_bytes":5)"));
}

TEST_F(SchedulerEndTest, ANanIsCountedAndNamed) {
  engine_->SetHook([](int64_t) {
    return absl::DataLossError("a log-probability is not a finite number");
  });
  auto* const request = Score({"x"});
  request->ended.Wait();

  ExpectEnd(request->status, StatusCode::kInternal, kReasonNan);
  EXPECT_THAT(metrics_.Text(),
              HasSubstr("spanlm_logits_nan_total{model=\"fake\"} 1"));
}

TEST_F(SchedulerEndTest, AClientThatStallsLosesItsSlot) {
  options_.stall_limit = absl::Minutes(1);
  TextInbox inbox;  // nothing ever comes
  RecordingScoreStreamSink sink;
  std::vector<std::unique_ptr<Job>> jobs;
  jobs.push_back(std::make_unique<ScoreStreamJob>(
      &symbols_, ScoreStreamOptions(), &inbox, &sink));
  scheduler().Submit({}, std::move(jobs));
  while (engine_->free_slot_count() == 4) std::this_thread::yield();
  // Two looks at the job: the first starts the count.
  auto* const probe = Score({"x"});
  probe->ended.Wait();
  EXPECT_EQ(sink.ended.count(), 0);
  clock_.Advance(absl::Seconds(61));
  scheduler().Wake();
  sink.ended.Wait();

  ExpectEnd(sink.status, StatusCode::kResourceExhausted, kReasonStreamLimit);
  ExpectNothingLeft();
}

TEST_F(SchedulerEndTest, AJobsOwnErrorEndsItsRequest) {
  RecordingEvaluateSink sink;
  EvaluateOptions options;
  options.end = 100;
  std::vector<std::unique_ptr<Job>> jobs;
  jobs.push_back(std::make_unique<EvaluateJob>(
      &symbols_, options,
      [](int64_t, int64_t, std::string*) {
        return absl::DataLossError("shrunk");
      },
      &sink, clock_.reader()));
  scheduler().Submit({}, std::move(jobs));
  sink.ended.Wait();

  EXPECT_THAT(sink.status, StatusIs(StatusCode::kDataLoss, "shrunk"));
  ExpectNothingLeft();
}

TEST_F(SchedulerEndTest, AStreamedDocumentWakesTheScheduler) {
  TextInbox inbox;
  RecordingScoreStreamSink sink;
  std::vector<std::unique_ptr<Job>> jobs;
  jobs.push_back(std::make_unique<ScoreStreamJob>(
      &symbols_, ScoreStreamOptions(), &inbox, &sink));
  scheduler().Submit({}, std::move(jobs));
  std::string text;
  for (int i = 0; i < 100; ++i) {
    const std::string piece = absl::StrCat("piece ", i, " ");
    text += piece;
    inbox.Append(piece);
    scheduler().Wake();
  }
  inbox.Finish();
  scheduler().Wake();
  sink.ended.Wait();

  EXPECT_OK(sink.status);
  EXPECT_EQ(sink.answers.back().state.total, FakeScore(*engine_, text, 0));
  ExpectNothingLeft();
}

}  // namespace
}  // namespace spanlm
