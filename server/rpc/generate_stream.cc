// SPDX-License-Identifier: Apache-2.0
#include "server/rpc/generate_stream.h"

#include <utility>

#include "absl/time/clock.h"
#include "server/rpc/fill.h"
#include "server/rpc/submit_generation.h"

namespace spanlm {

GenerateStreamReactor::GenerateStreamReactor(
    const ServedModel& model, GenerateInput input, const RpcLimits& limits,
    grpc::CallbackServerContext* context)
    : StreamWriter(context),
      model_(model),
      input_(std::move(input)),
      mark_(limits.stream_buffer_bytes) {
  FillStart(model_, input_.options.sampling.seed, pending_.mutable_start());
}

void GenerateStreamReactor::Run() {
  const absl::Status status =
      SubmitGeneration(model_, input_, *context(), &cancel_, this);
  if (status.ok()) return;
  Turn turn;
  {
    MutexLock lock(&mutex_);
    end_ = status;
    turn = TakeTurn();
  }
  turn.Send();
}

void GenerateStreamReactor::OnCancel() {
  cancel_.Set();
  model_.scheduler->Wake();
}

int64_t GenerateStreamReactor::CostOf(const GeneratedBytes& bytes) const {
  const size_t floats =
      bytes.log_probs.size() + bytes.sampling_log_probs.size();
  const size_t tops =
      bytes.tops.size() *
      (input_.options.top_count * (sizeof(float) + 1) + sizeof(v1::TopBytes));
  return static_cast<int64_t>(bytes.bytes.size() + floats * sizeof(float) +
                              tops);
}

void GenerateStreamReactor::OnBytes(GeneratedBytes bytes) {
  Turn turn;
  {
    MutexLock lock(&mutex_);
    if (pending_.data().empty()) pending_since_ = absl::Now();
    pending_cost_ += CostOf(bytes);
    AppendGenerated(bytes, &pending_);
    turn = TakeTurn();
  }
  turn.Send();
}

void GenerateStreamReactor::OnEnd(const absl::Status& status,
                                  const GenerateSummary& summary,
                                  const RequestTiming& timing) {
  CountFinish(summary.reason, model_.metrics);
  Turn turn;
  {
    MutexLock lock(&mutex_);
    if (status.ok()) {
      FillFinish(summary, input_.options.sampling.seed, timing,
                 pending_.mutable_finish());
      model_.metrics->ObserveRequestBytes(
          static_cast<int64_t>(input_.prompt.size()),
          sent_bytes_ + static_cast<int64_t>(pending_.ByteSizeLong()));
    }
    end_ = status;
    turn = TakeTurn();
  }
  turn.Send();
}

bool GenerateStreamReactor::has_room() const {
  MutexLock lock(&mutex_);
  has_paused_ = pending_cost_ + in_flight_cost_ >= mark_;
  return !has_paused_;
}

bool GenerateStreamReactor::TakeNext(v1::GenerateStreamResponse* response) {
  const auto size = static_cast<int64_t>(pending_.data().size());
  if (size == 0 && !pending_.has_finish()) return false;
  const bool is_due = end_.has_value() || size >= input_.flow.min_chunk_bytes ||
                      pending_cost_ >= mark_ / 2 ||
                      absl::Now() - pending_since_ >= input_.flow.max_delay;
  if (!is_due) return false;
  response->Swap(&pending_);
  pending_.Clear();
  sent_bytes_ += static_cast<int64_t>(response->ByteSizeLong());
  in_flight_cost_ = std::exchange(pending_cost_, 0);
  return true;
}

void GenerateStreamReactor::OnWritten() {
  bool was_paused = false;
  {
    MutexLock lock(&mutex_);
    in_flight_cost_ = 0;
    was_paused = std::exchange(has_paused_, false);
  }
  if (was_paused) model_.scheduler->Wake();
}

}  // namespace spanlm
