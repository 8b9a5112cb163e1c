// SPDX-License-Identifier: Apache-2.0
// What draining ends, and what it lets finish.
#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "server/jobs/evaluate_job.h"
#include "server/jobs/reason.h"
#include "tests/server/scheduler/scheduler_fixture.h"
#include "tests/support/status_matchers.h"

namespace spanlm {
namespace {

using absl::StatusCode;
using SchedulerDrainTest = SchedulerFixture;

TEST_F(SchedulerDrainTest, DrainingRefusesNewRequestsAndFinishesOldOnes) {
  engine_->Hold();
  auto* const running = Score({std::string(2000, 'x')});
  engine_->WaitUntilHeld();
  scheduler().Drain();
  auto* const refused = Score({"y"});

  ExpectEnd(refused->status, StatusCode::kUnavailable, kReasonDraining);
  EXPECT_FALSE(scheduler().WaitUntilIdle(absl::Milliseconds(1)));
  engine_->ReleaseAll();
  running->ended.Wait();
  EXPECT_OK(running->status);
  ExpectNothingLeft();
}

TEST_F(SchedulerDrainTest, DrainingEndsBatchRequestsAtOnce) {
  engine_->Hold();
  auto* const batch = Score({std::string(2000, 'x')}, With(Priority::kBatch));
  engine_->WaitUntilHeld();
  scheduler().Drain();
  engine_->ReleaseAll();
  batch->ended.Wait();

  ExpectEnd(batch->status, StatusCode::kUnavailable, kReasonDraining);
  ExpectNothingLeft();
}

TEST_F(SchedulerDrainTest, DrainingEndsEvaluationsWhereTheyStand) {
  RecordingEvaluateSink sink;
  EvaluateOptions options;
  options.end = 1'000'000;
  auto job = std::make_unique<EvaluateJob>(
      &symbols_, options,
      [](int64_t, int64_t count, std::string* bytes) {
        bytes->assign(static_cast<size_t>(count), 'e');
        return absl::OkStatus();
      },
      &sink, clock_.reader());
  std::vector<std::unique_ptr<Job>> jobs;
  jobs.push_back(std::move(job));
  RequestTerms terms = With(Priority::kInteractive);
  terms.kind = JobKind::kEvaluate;
  engine_->Hold();
  scheduler().Submit(terms, std::move(jobs));
  engine_->WaitUntilHeld();
  scheduler().Drain();
  engine_->ReleaseAll();
  sink.ended.Wait();

  ExpectEnd(sink.status, StatusCode::kUnavailable, kReasonDraining);
  EXPECT_EQ(sink.state.position, 512) << "one step";
  EXPECT_EQ(sink.state.total, FakeScore(*engine_, std::string(512, 'e'), 0));
  ExpectNothingLeft();
}

}  // namespace
}  // namespace spanlm
