// SPDX-License-Identifier: Apache-2.0
// Packs chunks of the waiting jobs into batches and steps the engine with them.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "base/mutex.h"
#include "engine/engine.h"
#include "server/jobs/job.h"
#include "server/metrics/model_metrics.h"
#include "server/scheduler/batch_policy.h"
#include "server/scheduler/request_queue.h"

namespace spanlm {

struct SchedulerOptions {
  std::string model;                  // its name, for the log
  BatchPolicy policy;                 // max_step_symbols: at most the engine's
  int32_t max_queue_requests = 1024;  // waiting for a slot
  int64_t max_queue_bytes = 256 << 20;  // held by jobs waiting for a slot
  // A request that waits this long for its client's next bytes, or for its
  // client to read, loses its slot.
  absl::Duration stall_limit = absl::Minutes(10);
  std::function<absl::Time()> now = absl::Now;  // thread-safe
};

// Thread-safe. Owns its one thread, which alone touches the engine and every
// job after Submit; what jobs call back runs on it and must not block.
//
// A request is one or more jobs under the same terms: it waits, is counted and
// has its outcome as one. Each job needs a cache of the engine to run; slots go
// to the highest priority first and there to the requests in turn. BATCH jobs
// leave an eighth of the slots (rounded down) to the others.
class Scheduler {
 public:
  // `engine` and `metrics` are lent.
  Scheduler(const SchedulerOptions& options, Engine* engine,
            ModelMetrics* metrics);
  // Ends every job still waiting or running with kCancelled (ADMIN).
  ~Scheduler();
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  // Takes all the jobs of a request, or ends all of them at once, on the
  // caller's thread, with
  //   kUnavailable (DRAINING)        after Drain
  //   kUnavailable (ENGINE_FAILED)   HasFailed()
  //   kDeadlineExceeded (QUEUED)     its deadline has passed
  //   kResourceExhausted (QUEUE_FULL, QUEUE_BYTES)
  // Later a job may end with kDeadlineExceeded (QUEUED, RUNNING), kCancelled
  // (CLIENT, ADMIN), kUnavailable (DRAINING, ENGINE_FAILED), kResourceExhausted
  // (STREAM_LIMIT), kInternal (INVARIANT, NAN) or its own error; then all jobs
  // of its request do. At least one job.
  void Submit(const RequestTerms& terms, std::vector<std::unique_ptr<Job>> jobs)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // Something changed that a job waits for: text came, room came, a cancel
  // flag was set.
  void Wake() ABSL_LOCKS_EXCLUDED(mutex_);

  // From now on refuses requests. Evaluations and BATCH requests end at once
  // with kUnavailable (DRAINING); others run to their end.
  void Drain() ABSL_LOCKS_EXCLUDED(mutex_);
  // Ends all requests with kCancelled (ADMIN), within a step.
  void CancelAll() ABSL_LOCKS_EXCLUDED(mutex_);
  // Waits until no request is left; false: still some after `timeout`.
  bool WaitUntilIdle(absl::Duration timeout) ABSL_LOCKS_EXCLUDED(mutex_);

  // Whether the engine failed for good. All requests have then ended, or will
  // within a round.
  bool HasFailed() const ABSL_LOCKS_EXCLUDED(mutex_);
  // For how long the thread has been at what it does now: a step, a job's call
  // or a sink's. Zero while it rests.
  absl::Duration RoundAge() const ABSL_LOCKS_EXCLUDED(mutex_);
  // Counted at this moment.
  ModelGauges Gauges() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  // A job with a cache.
  struct RunningJob {
    Request* request = nullptr;
    std::unique_ptr<Job> job;
    SpanCache cache;
    Work work;  // as of this round
    std::optional<absl::Time> idle_since;
    std::optional<absl::Time> last_byte;  // generated
  };
  using RunningJobs = std::vector<std::unique_ptr<RunningJob>>;
  // Jobs that take part in a step, and what the engine sees of them.
  struct Step {
    std::vector<RunningJob*> jobs;
    Batch batch;
    absl::Time start, end;
  };

  absl::Status Enqueue(std::unique_ptr<Request>* request)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // The thread; below it, all are called by it alone.
  void Run() ABSL_LOCKS_EXCLUDED(mutex_);
  // Starts a round; false: stop.
  bool BeginRound() ABSL_LOCKS_EXCLUDED(mutex_);
  // Waits for something to do.
  void Rest() ABSL_LOCKS_EXCLUDED(mutex_);
  // Ends the requests that are cancelled, late or failed.
  void EndFailed() ABSL_LOCKS_EXCLUDED(mutex_);
  // Gives free slots to waiting jobs.
  void Admit() ABSL_LOCKS_EXCLUDED(mutex_);
  // False: no job has work.
  bool RunStep() ABSL_LOCKS_EXCLUDED(mutex_);

  // What an error of the engine, in that call, is to clients; logged and
  // counted. Unless it is about the texts at hand, the engine has failed.
  absl::Status NoteEngineError(absl::string_view call,
                               const absl::Status& error)
      ABSL_LOCKS_EXCLUDED(mutex_);
  std::vector<Demand> AskJobs();
  Step Assemble(absl::Span<const int32_t> plan);
  absl::StatusOr<StepResult> Compute(Step* step);
  void AddTimes(const Step& step);
  void Deliver(const Step& step, const StepResult& result);
  void NoteBytes(RunningJob* running, const ByteCounts& counts, absl::Time now);
  absl::Status FailureOf(const Request& request, absl::Time now) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Takes a job out of running_, frees its slot and ends it.
  void EndRunning(RunningJob* running, const absl::Status& status)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // The request may be gone afterwards.
  void EndJob(Request* request, std::unique_ptr<Job> job,
              const absl::Status& status) ABSL_LOCKS_EXCLUDED(mutex_);
  void CountOutcome(const RequestTerms& terms, const absl::Status& status);

  const SchedulerOptions options_;
  Engine* const engine_;
  ModelMetrics* const metrics_;
  RunningJobs running_;  // scheduler's thread; the first one's turn is next

  mutable Mutex mutex_;
  CondVar changed_;  // woken_ or stop_
  CondVar idle_;     // no request is left
  RequestQueue queue_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::unique_ptr<Request>> requests_ ABSL_GUARDED_BY(mutex_);
  int64_t ending_jobs_ ABSL_GUARDED_BY(mutex_) = 0;  // in Job::End right now
  bool woken_ ABSL_GUARDED_BY(mutex_) = false;
  bool draining_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status engine_failure_ ABSL_GUARDED_BY(mutex_);
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Time heartbeat_ ABSL_GUARDED_BY(mutex_);
  std::optional<absl::Time> round_start_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;  // last: starts when everything above is built
};

}  // namespace spanlm
