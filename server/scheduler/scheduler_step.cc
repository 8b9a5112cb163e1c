// SPDX-License-Identifier: Apache-2.0
// The scheduler's step: ask the jobs, plan, compute, deliver.
#include <algorithm>
#include <array>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/log.h"
#include "server/jobs/reason.h"
#include "server/scheduler/scheduler.h"

namespace spanlm {
namespace {

absl::Status StallError(absl::Duration limit) {
  return WithReason(absl::ResourceExhaustedError(
                        absl::StrCat("the client neither sent nor read for ",
                                     absl::FormatDuration(limit))),
                    kReasonStreamLimit);
}

}  // namespace

bool Scheduler::RunStep() {
  Step step = Assemble(PlanStep(AskJobs(), options_.policy));
  if (step.batch.empty()) return false;
  const absl::StatusOr<StepResult> result = Compute(&step);
  AddTimes(step);
  if (result.ok()) {
    Deliver(step, *result);
  } else {
    const absl::Status status = NoteEngineError("step", result.status());
    for (RunningJob* job : step.jobs) EndRunning(job, status);
  }
  if (running_.size() > 1) {
    std::rotate(running_.begin(), running_.begin() + 1, running_.end());
  }
  return true;
}

absl::Status Scheduler::NoteEngineError(absl::string_view call,
                                        const absl::Status& error) {
  absl::Status status;
  switch (error.code()) {
    case absl::StatusCode::kDataLoss:
      metrics_->CountNan();
      status = WithReason(absl::InternalError(error.message()), kReasonNan);
      break;
    case absl::StatusCode::kInvalidArgument:  // our own fault
      status =
          WithReason(absl::InternalError(error.message()), kReasonInvariant);
      break;
    default:
      status = WithReason(absl::UnavailableError("the model's engine failed"),
                          kReasonEngineFailed);
  }
  Log(LogLevel::kError, "engine_error",
      {{"model", options_.model},
       {"call", call},
       {"reason", ReasonOf(status)},
       {"message", error.message()}});
  if (ReasonOf(status) != kReasonEngineFailed) return status;
  MutexLock lock(&mutex_);
  engine_failure_ = status;
  return status;
}

std::vector<Demand> Scheduler::AskJobs() {
  const absl::Time now = options_.now();
  std::vector<std::pair<RunningJob*, absl::Status>> ended;
  for (const std::unique_ptr<RunningJob>& running : running_) {
    running->work = running->job->Ready();
    if (running->work.generated > 0) {
      const ByteCounts counts{0, 0, running->work.generated};
      NoteBytes(running.get(), counts, now);
      metrics_->CountBytes(static_cast<int>(running->request->terms.kind), 0, 0,
                           counts.generated);
    }
    if (running->job->done()) {
      ended.emplace_back(running.get(), absl::OkStatus());
    } else if (running->work.symbols > 0) {
      running->idle_since.reset();
    } else if (!running->idle_since.has_value()) {
      running->idle_since = now;
    } else if (now - *running->idle_since > options_.stall_limit) {
      ended.emplace_back(running.get(), StallError(options_.stall_limit));
    }
  }
  for (const auto& [running, status] : ended) EndRunning(running, status);
  std::vector<Demand> demands;
  for (const std::unique_ptr<RunningJob>& running : running_) {
    demands.push_back({running->request->terms.priority, running->work});
  }
  return demands;
}

Scheduler::Step Scheduler::Assemble(absl::Span<const int32_t> plan) {
  Step step;
  std::vector<std::pair<RunningJob*, absl::Status>> failed;
  for (size_t i = 0; i < plan.size(); ++i) {
    if (plan[i] == 0) continue;
    RunningJob* const running = running_[i].get();
    const absl::StatusOr<Chunk> chunk = running->job->Next(plan[i]);
    if (!chunk.ok()) {
      failed.emplace_back(running, chunk.status());
      continue;
    }
    SPANLM_CHECK(!chunk->symbols.empty() &&
                 chunk->symbols.size() <= static_cast<size_t>(plan[i]));
    step.jobs.push_back(running);
    step.batch.push_back({&running->cache, chunk->symbols, chunk->want});
  }
  for (const auto& [running, status] : failed) EndRunning(running, status);
  return step;
}

absl::StatusOr<StepResult> Scheduler::Compute(Step* step) {
  step->start = options_.now();
  absl::StatusOr<StepResult> result = engine_->Step(step->batch);
  step->end = options_.now();
  return result;
}

void Scheduler::AddTimes(const Step& step) {
  const absl::Duration time = step.end - step.start;
  std::set<Request*> requests;
  std::array<bool, 2> has_phase{};
  int64_t symbols = 0;
  for (size_t i = 0; i < step.jobs.size(); ++i) {
    requests.insert(step.jobs[i]->request);
    has_phase[static_cast<size_t>(step.jobs[i]->work.phase)] = true;
    symbols += static_cast<int64_t>(step.batch[i].symbols.size());
  }
  for (Request* request : requests) {
    request->compute_time += time;
    if (request->has_stepped) continue;
    request->has_stepped = true;
    request->queue_time = step.start - request->arrival;
    metrics_->ObserveQueue(static_cast<int>(request->terms.kind),
                           request->queue_time);
  }
  const StepPhase phase = has_phase[0] && has_phase[1] ? StepPhase::kMixed
                          : has_phase[0]               ? StepPhase::kPrefill
                                                       : StepPhase::kDecode;
  metrics_->ObserveStep(phase, time, static_cast<int64_t>(step.jobs.size()),
                        symbols);
}

void Scheduler::Deliver(const Step& step, const StepResult& result) {
  std::array<ByteCounts, kJobKindCount> counts;
  for (size_t i = 0; i < step.jobs.size(); ++i) {
    RunningJob* const running = step.jobs[i];
    const absl::StatusOr<ByteCounts> moved =
        running->job->Consume(result[i], running->cache);
    if (!moved.ok()) {
      if (ReasonOf(moved.status()) == kReasonNan) metrics_->CountNan();
      EndRunning(running, moved.status());
      continue;
    }
    NoteBytes(running, *moved, step.end);
    ByteCounts& sum = counts[static_cast<size_t>(running->request->terms.kind)];
    sum.read += moved->read;
    sum.scored += moved->scored;
    sum.generated += moved->generated;
  }
  // Before any job ends: whoever hears of an end finds its bytes counted.
  for (int kind = 0; kind < kJobKindCount; ++kind) {
    metrics_->CountBytes(kind, counts[kind].read, counts[kind].scored,
                         counts[kind].generated);
  }
  const auto is_done = [](const auto& job) { return job->job->done(); };
  while (true) {
    const auto done = std::find_if(running_.begin(), running_.end(), is_done);
    if (done == running_.end()) return;
    EndRunning(done->get(), absl::OkStatus());
  }
}

void Scheduler::NoteBytes(RunningJob* running, const ByteCounts& counts,
                          absl::Time now) {
  Request* const request = running->request;
  request->bytes.read += counts.read;
  request->bytes.scored += counts.scored;
  request->bytes.generated += counts.generated;
  if (counts.generated == 0) return;
  if (!request->has_byte) {
    request->has_byte = true;
    metrics_->ObserveTimeToFirstByte(now - request->arrival);
  } else if (running->last_byte.has_value()) {
    metrics_->ObserveInterByte(now - *running->last_byte);
  }
  running->last_byte = now;
}

}  // namespace spanlm
