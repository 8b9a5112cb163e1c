// SPDX-License-Identifier: Apache-2.0
#include "server/rpc/score_stream.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "server/jobs/evaluate_job.h"
#include "server/jobs/reason.h"
#include "server/rpc/fill.h"
#include "server/rpc/parse.h"
#include "server/rpc/request_terms.h"
#include "server/rpc/resume_token.h"

namespace spanlm {
namespace {

// Text received and not yet read by the job, above which reading pauses.
constexpr int64_t kInboxMark = int64_t{256} << 10;

absl::Status OutOfOrder(absl::string_view what) {
  return FieldError("part", what, kReasonFormat);
}

// What the message holds while a read is in flight. gRPC says of a message that
// does not parse what it says of the client's end; the parser clears it first.
bool IsUntouched(const v1::ScoreStreamRequest& request) {
  return request.open().block_bytes() == -1;
}
void MarkUntouched(v1::ScoreStreamRequest* request) {
  request->mutable_open()->set_block_bytes(-1);
}

}  // namespace

ScoreStreamReactor::ScoreStreamReactor(const ModelRegistry* models,
                                       const RpcLimits& limits,
                                       grpc::CallbackServerContext* context)
    : StreamWriter(context), models_(models), limits_(limits) {
  ReadNext();
}

void ScoreStreamReactor::ReadNext() {
  MarkUntouched(&request_);
  StartRead(&request_);
}

void ScoreStreamReactor::OnReadDone(bool ok) {
  if (!ok) return IsUntouched(request_) ? FinishText() : Fail(Malformed());
  const absl::Status status = Take(request_);
  if (!status.ok()) return Fail(status);
  {
    MutexLock lock(&mutex_);
    reads_paused_ = true;
  }
  ResumeReading();
}

// Looks at the inbox after reads_paused_ was set, so that of this and a Take on
// the scheduler's thread at least one sees that there is room.
void ScoreStreamReactor::ResumeReading() {
  if (inbox_.size_bytes() >= kInboxMark) return;
  {
    MutexLock lock(&mutex_);
    if (!reads_paused_ || end_.has_value()) return;
    reads_paused_ = false;
  }
  ReadNext();
}

absl::Status ScoreStreamReactor::Take(const v1::ScoreStreamRequest& request) {
  const bool is_open = options_.has_value();
  if (inbox_.is_finished()) return OutOfOrder("a message came after finish");
  switch (request.part_case()) {
    case v1::ScoreStreamRequest::kOpen:
      if (is_open) return OutOfOrder("open came twice");
      return Open(request.open());
    case v1::ScoreStreamRequest::kChunk:
      if (!is_open) return OutOfOrder("a chunk came before open");
      return Append(request.chunk());
    case v1::ScoreStreamRequest::kFinish:
      if (!is_open) return OutOfOrder("finish came before open");
      FinishText();
      return absl::OkStatus();
    case v1::ScoreStreamRequest::PART_NOT_SET:
      break;
  }
  return OutOfOrder("a message without open, chunk or finish");
}

absl::Status ScoreStreamReactor::Open(
    const v1::ScoreStreamRequest::Open& open) {
  SPANLM_ASSIGN_OR_RETURN(const ServedModel* const model,
                          models_->FindFor(JobKind::kScore, open.model()));
  absl::StatusOr<ScoreStreamInput> input = ParseOpen(open);
  if (input.ok() && !open.resume_token().empty()) {
    absl::StatusOr<ScoreStreamState> state =
        OpenScoreStream(open.resume_token(), model->description);
    if (state.ok()) {
      input->options.from = *state;
      input->options.start =
          WarmupStart(state->position, model->receptive_field_bytes());
    } else {
      input = state.status();
    }
  }
  if (input.ok() && input->options.unit == ScoreUnit::kBlock &&
      input->options.from.unit_bytes >= input->options.block_bytes) {
    input = FieldError("resume_token", "it has other units", kReasonFormat);
  }
  if (!input.ok()) {
    model->metrics->CountRequest(static_cast<int>(JobKind::kScore),
                                 Outcome::kInvalid);
    return InField("open", input.status());
  }
  if (input->options.unit == ScoreUnit::kNone) {
    input->options.from.unit_bytes = 0;
  }
  options_ = input->options;
  options_->inbox_bytes = kInboxMark + limits_.max_chunk_bytes;
  // Twice that and what surrounds it fits a message.
  options_->max_score_bytes = std::min<int64_t>(options_->max_score_bytes,
                                                limits_.max_message_bytes / 4);
  last_state_ = options_->from;
  {
    MutexLock lock(&mutex_);
    model_ = model;
    has_job_ = true;
  }
  std::vector<std::unique_ptr<Job>> jobs;
  jobs.push_back(std::make_unique<ScoreStreamJob>(model->symbols, *options_,
                                                  &inbox_, this));
  model->scheduler->Submit(
      TermsOf(JobKind::kScore, input->priority, *context(), &cancel_),
      std::move(jobs));
  return absl::OkStatus();
}

absl::Status ScoreStreamReactor::Append(const std::string& chunk) {
  const auto size = static_cast<int64_t>(chunk.size());
  if (size > limits_.max_chunk_bytes) {
    return FieldError("chunk",
                      absl::StrCat("got ", size, " bytes, want at most ",
                                   limits_.max_chunk_bytes),
                      kReasonLimitExceeded);
  }
  inbox_.Append(chunk);
  received_bytes_ += size;
  Model()->scheduler->Wake();
  return absl::OkStatus();
}

void ScoreStreamReactor::FinishText() {
  inbox_.Finish();
  const ServedModel* const model = Model();
  if (model == nullptr) return Fail(OutOfOrder("the stream ended before open"));
  model->scheduler->Wake();
}

void ScoreStreamReactor::Fail(const absl::Status& status) {
  const ServedModel* model = nullptr;
  Turn turn;
  {
    MutexLock lock(&mutex_);
    if (has_job_) {
      failure_.Update(status);
      model = model_;
    } else {
      if (!end_.has_value()) end_ = status;
      turn = TakeTurn();
    }
  }
  if (model == nullptr) return turn.Send();
  cancel_.Set(CancelFlag::Why::kInvalid);
  model->scheduler->Wake();
}

void ScoreStreamReactor::OnCancel() {
  cancel_.Set();
  const ServedModel* const model = Model();
  if (model != nullptr) model->scheduler->Wake();
}

const ServedModel* ScoreStreamReactor::Model() const {
  MutexLock lock(&mutex_);
  return model_;
}

v1::ScoreStreamResponse ScoreStreamReactor::MakeResponse(
    const ScoreStreamAnswer& answer) const {
  v1::ScoreStreamResponse response;
  response.set_position(answer.state.position);
  response.set_delta_bits(answer.delta.bits());
  response.set_total_bits(answer.state.total.bits());
  *response.mutable_accumulator() = ToProto(answer.state.total);
  for (const UnitScore& unit : answer.units) {
    v1::ScoreStreamResponse::UnitScore* score = response.add_units();
    score->set_byte_count(unit.byte_count);
    score->set_bits(unit.total.bits());
  }
  response.mutable_log_probs()->Add(answer.log_probs.begin(),
                                    answer.log_probs.end());
  FillTops(answer.tops, response.mutable_tops());
  response.set_greedy(options_->output.is_greedy && answer.state.greedy);
  return response;
}

void ScoreStreamReactor::OnAnswer(ScoreStreamAnswer answer) {
  v1::ScoreStreamResponse response = MakeResponse(answer);
  last_state_ = answer.state;
  Turn turn;
  {
    MutexLock lock(&mutex_);
    response.set_resume_token(
        SealScoreStream(model_->description, answer.state));
    response.set_resume_position(
        WarmupStart(answer.state.position, model_->receptive_field_bytes()));
    const auto cost = static_cast<int64_t>(response.SpaceUsedLong());
    pending_cost_ += cost;
    answer_bytes_ += static_cast<int64_t>(response.ByteSizeLong());
    pending_.push_back({std::move(response), cost});
    turn = TakeTurn();
  }
  turn.Send();
}

void ScoreStreamReactor::OnTextTaken() { ResumeReading(); }

void ScoreStreamReactor::OnEnd(const absl::Status& status,
                               const RequestTiming& timing) {
  v1::ScoreStreamResponse last;
  if (status.ok()) {
    ScoreStreamAnswer answer;
    answer.state = last_state_;
    last = MakeResponse(answer);
  }
  Turn turn;
  {
    MutexLock lock(&mutex_);
    if (status.ok()) {
      v1::ScoreStreamSummary* summary = last.mutable_summary();
      summary->set_model_version(model_->description.version());
      summary->set_model_digest(model_->description.digest());
      summary->set_numerics(model_->description.numerics());
      FillTiming(timing, summary->mutable_timing());
      model_->metrics->ObserveRequestBytes(
          received_bytes_,
          answer_bytes_ + static_cast<int64_t>(last.ByteSizeLong()));
      pending_.push_back({std::move(last), 0});
    }
    has_job_ = false;
    end_ = failure_.ok() ? status : failure_;
    turn = TakeTurn();
  }
  turn.Send();
}

bool ScoreStreamReactor::has_room() const {
  MutexLock lock(&mutex_);
  has_paused_ = pending_cost_ + in_flight_cost_ >= limits_.stream_buffer_bytes;
  return !has_paused_;
}

bool ScoreStreamReactor::TakeNext(v1::ScoreStreamResponse* response) {
  if (pending_.empty()) return false;
  response->Swap(&pending_.front().response);
  in_flight_cost_ = pending_.front().cost;
  pending_cost_ -= in_flight_cost_;
  pending_.pop_front();
  return true;
}

void ScoreStreamReactor::OnWritten() {
  const ServedModel* model = nullptr;
  {
    MutexLock lock(&mutex_);
    in_flight_cost_ = 0;
    if (std::exchange(has_paused_, false)) model = model_;
  }
  if (model != nullptr) model->scheduler->Wake();
}

}  // namespace spanlm
