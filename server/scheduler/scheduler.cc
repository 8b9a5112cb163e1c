// SPDX-License-Identifier: Apache-2.0
#include "server/scheduler/scheduler.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "server/jobs/reason.h"

namespace spanlm {
namespace {

// The thread looks around at least this often, for clocks that jobs watch and
// for slots that others than jobs give back.
constexpr absl::Duration kLongestRest = absl::Milliseconds(250);

SchedulerOptions Fitted(SchedulerOptions options, const Engine& engine) {
  options.policy.max_step_symbols = std::min(options.policy.max_step_symbols,
                                             engine.options().max_step_symbols);
  return options;
}

absl::Status DrainingError() {
  return WithReason(absl::UnavailableError("the server is draining"),
                    kReasonDraining);
}

absl::Status LateError(bool has_stepped) {
  return WithReason(absl::DeadlineExceededError(
                        has_stepped ? "the deadline passed while running"
                                    : "the deadline passed while waiting"),
                    has_stepped ? kReasonRunning : kReasonQueued);
}

// Whether a client that left at `now` left because its time was over. Its clock
// started earlier than ours and gRPC rounds a timeout up by as much as a
// hundredth, so its reset comes before our own deadline does; who leaves more
// than a second before it leaves for another reason.
bool LeftAtDeadline(absl::Time arrival, absl::Time deadline, absl::Time now) {
  if (deadline == absl::InfiniteFuture()) return false;
  const absl::Duration rounding =
      std::min((deadline - arrival) / 100, absl::Seconds(1));
  return deadline - now <= absl::Milliseconds(10) + rounding;
}

Outcome OutcomeOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return Outcome::kOk;
    case absl::StatusCode::kCancelled:
      return Outcome::kCancelled;
    case absl::StatusCode::kDeadlineExceeded:
      return Outcome::kDeadline;
    case absl::StatusCode::kResourceExhausted:
      return Outcome::kRejected;
    case absl::StatusCode::kUnavailable:
      return ReasonOf(status) == kReasonEngineFailed ? Outcome::kError
                                                     : Outcome::kRejected;
    case absl::StatusCode::kInvalidArgument:
      return Outcome::kInvalid;
    default:
      return Outcome::kError;
  }
}

void LogEnd(const std::string& model, const Request& request,
            const RequestTiming& timing) {
  const absl::Status& status = request.failure;
  Log(LogLevel::kDebug, "request_ended",
      {{"model", model},
       {"kind", kKindLabels[static_cast<size_t>(request.terms.kind)]},
       {"priority",
        kPriorityLabels[static_cast<size_t>(request.terms.priority)]},
       {"outcome", kOutcomeLabels[static_cast<size_t>(OutcomeOf(status))]},
       {"reason", ReasonOf(status)},
       {"read_bytes", request.bytes.read},
       {"scored_bytes", request.bytes.scored},
       {"generated_bytes", request.bytes.generated},
       {"queue_seconds", absl::ToDoubleSeconds(timing.queue)},
       {"compute_seconds", absl::ToDoubleSeconds(timing.compute)},
       {"seconds", absl::ToDoubleSeconds(timing.total)}});
}

}  // namespace

Scheduler::Scheduler(const SchedulerOptions& options, Engine* engine,
                     ModelMetrics* metrics)
    : options_(Fitted(options, *engine)),
      engine_(engine),
      metrics_(metrics),
      queue_(options.max_queue_requests, options.max_queue_bytes),
      heartbeat_(options.now()),
      thread_([this] { Run(); }) {}

Scheduler::~Scheduler() {
  {
    MutexLock lock(&mutex_);
    stop_ = true;
    changed_.NotifyAll();
  }
  thread_.join();
}

void Scheduler::Submit(const RequestTerms& terms,
                       std::vector<std::unique_ptr<Job>> jobs) {
  SPANLM_CHECK(!jobs.empty());
  auto request = std::make_unique<Request>();
  request->terms = terms;
  request->arrival = options_.now();
  request->open_jobs = static_cast<int64_t>(jobs.size());
  std::move(jobs.begin(), jobs.end(), std::back_inserter(request->waiting));
  const absl::Status status = Enqueue(&request);
  if (status.ok()) return;
  CountOutcome(terms, status);
  for (const std::unique_ptr<Job>& job : request->waiting) {
    job->End(status, RequestTiming());
  }
}

absl::Status Scheduler::Enqueue(std::unique_ptr<Request>* request) {
  MutexLock lock(&mutex_);
  if (draining_ || stop_) return DrainingError();
  SPANLM_RETURN_IF_ERROR(engine_failure_);
  if ((*request)->terms.deadline <= (*request)->arrival) {
    return LateError(/*has_stepped=*/false);
  }
  SPANLM_RETURN_IF_ERROR(queue_.Add(request->get()));
  requests_.push_back(std::move(*request));
  woken_ = true;
  changed_.NotifyAll();
  return absl::OkStatus();
}

void Scheduler::Wake() {
  MutexLock lock(&mutex_);
  woken_ = true;
  changed_.NotifyAll();
}

void Scheduler::Drain() {
  MutexLock lock(&mutex_);
  draining_ = true;
  woken_ = true;
  changed_.NotifyAll();
}

void Scheduler::CancelAll() {
  MutexLock lock(&mutex_);
  for (const std::unique_ptr<Request>& request : requests_) {
    request->failure.Update(
        WithReason(absl::CancelledError("ended by the server"), kReasonAdmin));
  }
  woken_ = true;
  changed_.NotifyAll();
}

bool Scheduler::WaitUntilIdle(absl::Duration timeout) {
  const absl::Time end = absl::Now() + timeout;
  MutexLock lock(&mutex_);
  while (!requests_.empty() || ending_jobs_ > 0) {
    const absl::Duration left = end - absl::Now();
    if (left <= absl::ZeroDuration()) return false;
    idle_.WaitFor(&mutex_, absl::ToChronoNanoseconds(left));
  }
  return true;
}

bool Scheduler::HasFailed() const {
  MutexLock lock(&mutex_);
  return !engine_failure_.ok();
}

absl::Duration Scheduler::RoundAge() const {
  const absl::Time now = options_.now();
  MutexLock lock(&mutex_);
  return round_start_.has_value() ? now - *round_start_ : absl::ZeroDuration();
}

ModelGauges Scheduler::Gauges() const {
  ModelGauges gauges;
  gauges.slot_count = engine_->info().slot_count;
  gauges.busy_slots = gauges.slot_count - engine_->free_slot_count();
  MutexLock lock(&mutex_);
  for (const std::unique_ptr<Request>& request : requests_) {
    const bool is_waiting =
        request->open_jobs == static_cast<int64_t>(request->waiting.size());
    auto& counts = is_waiting ? gauges.waiting : gauges.running;
    ++counts[static_cast<size_t>(request->terms.kind)]
            [static_cast<size_t>(request->terms.priority)];
  }
  gauges.queue_bytes = queue_.bytes();
  gauges.heartbeat = heartbeat_;
  return gauges;
}

void Scheduler::Run() {
  while (BeginRound()) {
    EndFailed();
    Admit();
    if (!RunStep()) Rest();
  }
  CancelAll();
  EndFailed();
}

bool Scheduler::BeginRound() {
  const absl::Time now = options_.now();
  MutexLock lock(&mutex_);
  heartbeat_ = now;
  round_start_ = now;
  woken_ = false;
  return !stop_;
}

void Scheduler::Rest() {
  const absl::Time now = options_.now();
  MutexLock lock(&mutex_);
  if (woken_ || stop_) return;
  absl::Duration rest = kLongestRest;
  for (const std::unique_ptr<Request>& request : requests_) {
    rest = std::min(rest, request->terms.deadline - now);
  }
  round_start_.reset();
  changed_.WaitFor(&mutex_, absl::ToChronoNanoseconds(rest));
}

absl::Status Scheduler::FailureOf(const Request& request,
                                  absl::Time now) const {
  if (!request.failure.ok()) return request.failure;
  SPANLM_RETURN_IF_ERROR(engine_failure_);
  const RequestTerms& terms = request.terms;
  switch (terms.cancel == nullptr ? CancelFlag::Why::kNotSet
                                  : terms.cancel->why()) {
    case CancelFlag::Why::kNotSet:
      break;
    case CancelFlag::Why::kInvalid:
      return WithReason(
          absl::InvalidArgumentError("the client sent what it may not"),
          kReasonFieldInvalid);
    case CancelFlag::Why::kClientLeft:
      if (LeftAtDeadline(request.arrival, terms.deadline, now)) {
        return LateError(request.has_stepped);
      }
      return WithReason(absl::CancelledError("cancelled by the client"),
                        kReasonClient);
  }
  // Those that can go on elsewhere, or need not be quick.
  if (draining_ && (terms.kind == JobKind::kEvaluate ||
                    terms.priority == Priority::kBatch)) {
    return DrainingError();
  }
  if (terms.deadline <= now) return LateError(request.has_stepped);
  return absl::OkStatus();
}

void Scheduler::EndFailed() {
  struct Failed {
    Request* request;
    absl::Status status;
    std::vector<std::unique_ptr<Job>> waiting;
  };
  std::vector<Failed> all_failed;
  const absl::Time now = options_.now();
  {
    MutexLock lock(&mutex_);
    for (const std::unique_ptr<Request>& request : requests_) {
      absl::Status status = FailureOf(*request, now);
      if (status.ok()) continue;
      all_failed.push_back(
          {request.get(), std::move(status), queue_.Remove(request.get())});
    }
  }
  for (Failed& failed : all_failed) {
    // The request goes with its last job: find the running ones first.
    std::vector<RunningJob*> running;
    for (const std::unique_ptr<RunningJob>& job : running_) {
      if (job->request == failed.request) running.push_back(job.get());
    }
    for (RunningJob* job : running) EndRunning(job, failed.status);
    for (std::unique_ptr<Job>& job : failed.waiting) {
      EndJob(failed.request, std::move(job), failed.status);
    }
  }
}

void Scheduler::Admit() {
  while (true) {
    const int32_t free_count = engine_->free_slot_count();
    if (free_count == 0) return;
    const bool has_spare = free_count > engine_->info().slot_count / 8;
    std::optional<RequestQueue::Turn> turn;
    {
      MutexLock lock(&mutex_);
      turn = queue_.Take(has_spare ? Priority::kBatch : Priority::kStandard);
    }
    if (!turn.has_value()) return;
    if (turn->job->done()) {
      EndJob(turn->request, std::move(turn->job), absl::OkStatus());
      continue;
    }
    absl::StatusOr<SpanCache> cache = engine_->NewCache(turn->job->start());
    if (absl::IsResourceExhausted(cache.status())) {
      MutexLock lock(&mutex_);
      queue_.PutBack(*std::move(turn));
      return;
    }
    if (!cache.ok()) {
      EndJob(turn->request, std::move(turn->job),
             NoteEngineError("new_cache", cache.status()));
      continue;
    }
    running_.push_back(std::make_unique<RunningJob>(
        RunningJob{turn->request, std::move(turn->job), *std::move(cache),
                   Work(), std::nullopt, std::nullopt}));
  }
}

void Scheduler::EndRunning(RunningJob* running, const absl::Status& status) {
  const auto place = std::find_if(
      running_.begin(), running_.end(),
      [running](const auto& entry) { return entry.get() == running; });
  Request* const request = running->request;
  std::unique_ptr<Job> job = std::move(running->job);
  running_.erase(place);  // the slot is free before anyone hears of the end
  EndJob(request, std::move(job), status);
}

void Scheduler::EndJob(Request* request, std::unique_ptr<Job> job,
                       const absl::Status& status) {
  const absl::Duration total = options_.now() - request->arrival;
  const RequestTiming timing{request->has_stepped ? request->queue_time : total,
                             request->compute_time, total};
  std::unique_ptr<Request> ended;
  {
    MutexLock lock(&mutex_);
    request->failure.Update(status);
    ++ending_jobs_;
    if (--request->open_jobs == 0) {
      const auto place = std::find_if(
          requests_.begin(), requests_.end(),
          [request](const auto& entry) { return entry.get() == request; });
      ended = std::move(*place);
      requests_.erase(place);
    }
  }
  if (ended != nullptr) {
    CountOutcome(ended->terms, ended->failure);
    LogEnd(options_.model, *ended, timing);
  }
  job->End(status, timing);
  job.reset();
  MutexLock lock(&mutex_);
  woken_ = true;  // there is a slot to give
  if (--ending_jobs_ == 0 && requests_.empty()) idle_.NotifyAll();
}

void Scheduler::CountOutcome(const RequestTerms& terms,
                             const absl::Status& status) {
  const Outcome outcome = OutcomeOf(status);
  metrics_->CountRequest(static_cast<int>(terms.kind), outcome);
  if (outcome == Outcome::kRejected) {
    metrics_->CountRejection(ReasonOf(status));
  }
}

}  // namespace spanlm
