// SPDX-License-Identifier: Apache-2.0
// A scheduler over a fake engine and clock, and requests for it.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/jobs/generate_job.h"
#include "server/jobs/reason.h"
#include "server/jobs/score_job.h"
#include "server/metrics/metrics.h"
#include "server/scheduler/scheduler.h"
#include "tests/fakes/end_signal.h"
#include "tests/fakes/fake_clock.h"
#include "tests/fakes/fake_engine.h"
#include "tests/fakes/recording_sinks.h"
#include "tests/support/status_matchers.h"

namespace spanlm {

// One Score call and what became of it. Read the fields after ended.Wait().
struct ScoreRequest {
  std::vector<std::string> texts;  // lent to the call's items
  std::unique_ptr<ScoreCall> call;
  CancelFlag cancel;
  absl::Status status;
  std::vector<ScoreResult> results;
  RequestTiming timing;
  EndSignal ended;
};

struct GenerateRequest {
  std::string prompt;
  CancelFlag cancel;
  RecordingGenerateSink sink;
};

class SchedulerFixture : public testing::Test {
 protected:
  // What still runs when a test ends is cancelled.
  ~SchedulerFixture() override {
    engine_->ReleaseAll();
    scheduler_.reset();
  }

  // Call before the first request.
  void UseEngine(const FakeEngineOptions& options) {
    engine_ = std::make_unique<FakeEngine>(options);
  }

  Scheduler& scheduler() {
    if (scheduler_ == nullptr) {
      options_.now = clock_.reader();
      scheduler_ =
          std::make_unique<Scheduler>(options_, engine_.get(), model_metrics_);
    }
    return *scheduler_;
  }

  // Scores each text as an item of its own, without context.
  // Requests live as long as the fixture. Thread-safe.
  ScoreRequest* Score(std::vector<std::string> texts, RequestTerms terms = {}) {
    ScoreRequest* const request = Keep(&scores_);
    request->texts = std::move(texts);
    std::vector<ScoreItem> items;
    for (const std::string& text : request->texts) items.push_back({"", text});
    request->call = std::make_unique<ScoreCall>(
        &symbols_, std::move(items), ScoreOptions(),
        [request](const absl::StatusOr<std::vector<ScoreResult>>& results,
                  const RequestTiming& timing) {
          request->status = results.status();
          if (results.ok()) request->results = *results;
          request->timing = timing;
          request->ended.Notify();
        });
    terms.kind = JobKind::kScore;
    terms.cancel = &request->cancel;
    scheduler().Submit(terms, request->call->MakeJobs());
    return request;
  }

  GenerateRequest* Generate(std::string prompt, int64_t max_bytes,
                            RequestTerms terms = {}, int64_t seed = 1) {
    GenerateRequest* const request = Keep(&generations_);
    request->prompt = std::move(prompt);
    GenerateOptions options;
    options.max_bytes = max_bytes;
    options.sampling.seed = seed;
    std::vector<std::unique_ptr<Job>> jobs;
    jobs.push_back(*GenerateJob::Create(&symbols_, request->prompt, options,
                                        &request->sink, clock_.reader()));
    terms.kind = JobKind::kGenerate;
    terms.cancel = &request->cancel;
    scheduler().Submit(terms, std::move(jobs));
    return request;
  }

  static RequestTerms With(Priority priority) {
    RequestTerms terms;
    terms.priority = priority;
    return terms;
  }
  RequestTerms EndingAfter(absl::Duration time) {
    RequestTerms terms;
    terms.deadline = clock_.Now() + time;
    return terms;
  }

  // Running and waiting requests together.
  int64_t OpenRequests() {
    const ModelGauges gauges = scheduler().Gauges();
    int64_t count = 0;
    for (const auto* counts : {&gauges.running, &gauges.waiting}) {
      for (const auto& kind : *counts) {
        for (int64_t value : kind) count += value;
      }
    }
    return count;
  }

  void ExpectEnd(const absl::Status& status, absl::StatusCode code,
                 absl::string_view reason) {
    EXPECT_THAT(status, StatusIs(code));
    EXPECT_EQ(ReasonOf(status), reason);
  }
  void ExpectNothingLeft() {
    EXPECT_TRUE(scheduler().WaitUntilIdle(absl::Seconds(10)));
    EXPECT_EQ(OpenRequests(), 0);
    EXPECT_EQ(scheduler().Gauges().queue_bytes, 0);
    EXPECT_EQ(engine_->free_slot_count(), engine_->info().slot_count);
  }
  void ExpectCounted(absl::string_view kind, absl::string_view outcome,
                     int count) {
    EXPECT_THAT(metrics_.Text(),
                testing::HasSubstr(absl::StrCat(
                    "spanlm_requests_total{kind=\"", kind,
                    "\",model=\"fake\",outcome=\"", outcome, "\"} ", count)));
  }

  static ModelFacts FakeFacts() {
    ModelFacts facts;
    facts.name = "fake";
    return facts;
  }

  template <typename T>
  T* Keep(std::vector<std::unique_ptr<T>>* all) {
    MutexLock lock(&mutex_);
    all->push_back(std::make_unique<T>());
    return all->back().get();
  }

  Mutex mutex_;
  std::vector<std::unique_ptr<ScoreRequest>> scores_;
  std::vector<std::unique_ptr<GenerateRequest>> generations_;
  FakeClock clock_;
  SchedulerOptions options_;
  std::unique_ptr<FakeEngine> engine_ = std::make_unique<FakeEngine>();
  const SymbolMap symbols_ = *SymbolMap::Create(engine_->config());
  Metrics metrics_{{"", "", "", ""}};
  ModelMetrics* const model_metrics_ = metrics_.AddModel(FakeFacts());
  std::unique_ptr<Scheduler> scheduler_;
};

}  // namespace spanlm
