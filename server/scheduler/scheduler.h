// SPDX-License-Identifier: Apache-2.0
// Packs chunks of the waiting jobs into batches and steps the engine with them.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/mutex.h"
#include "engine/engine.h"
#include "server/jobs/job.h"
#include "server/metrics/model_metrics.h"
#include "server/scheduler/batch_policy.h"
#include "server/scheduler/request_queue.h"

namespace spanlm {

struct SchedulerOptions {
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
  //   kDeadlineExceeded (QUEUED)     its deadline has passed
  //   kResourceExhausted (QUEUE_FULL, QUEUE_BYTES)
  // Later a job may end with kDeadlineExceeded (QUEUED, RUNNING), kCancelled
  // (CLIENT, ADMIN), kUnavailable (DRAINING), kResourceExhausted
  // (STREAM_LIMIT), kInternal (INVARIANT, NAN) or its own error; then all jobs
  // of its request do. At least one job.
  void Submit(const RequestTerms& terms, std::vector<std::unique_ptr<Job>> jobs)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // Something changed that a job waits for: text came, room came, a cancel
  // flag was set.
  void Wake() ABSL_LOCKS_EXCLUDED(mutex_);

  // From now on refuses requests. BATCH requests end at once with kUnavailable
  // (DRAINING); others run to their end.
  void Drain() ABSL_LOCKS_EXCLUDED(mutex_);
  // Ends all requests with kCancelled (ADMIN), within a step.
  void CancelAll() ABSL_LOCKS_EXCLUDED(mutex_);
  // Waits until no request is left; false: still some after `timeout`.
  bool WaitUntilIdle(absl::Duration timeout) ABSL_LOCKS_EXCLUDED(mutex_);

  // How long the step in progress has taken so far; zero between steps.
  absl::Duration StepAge() const ABSL_LOCKS_EXCLUDED(mutex_);
  // Counted at this moment.
  ModelGauges Gauges() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  // A job with a cache.
  struct RunningJob;
  // What a step is made of: jobs, their chunks and the engine's view of them.
  struct Step;

  void Run() ABSL_LOCKS_EXCLUDED(mutex_);
  bool stopping() const ABSL_LOCKS_EXCLUDED(mutex_);

  const SchedulerOptions options_;
  Engine* const engine_;
  ModelMetrics* const metrics_;
  mutable Mutex mutex_;
  CondVar changed_;  // for the thread
  CondVar idle_;     // for WaitUntilIdle
  bool woken_ ABSL_GUARDED_BY(mutex_) = false;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;  // last: starts when everything above is built
};

}  // namespace spanlm
