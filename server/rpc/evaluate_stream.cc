// SPDX-License-Identifier: Apache-2.0
#include "server/rpc/evaluate_stream.h"

#include <memory>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "server/rpc/fill.h"
#include "server/rpc/request_terms.h"

namespace spanlm {
namespace {

constexpr char kInlineDataset[] = "inline";

double PerByte(const BitsTotal& total, int64_t byte_count) {
  return byte_count == 0 ? 0 : total.bits() / static_cast<double>(byte_count);
}

}  // namespace

EvaluateReactor::EvaluateReactor(const ServedModel& model,
                                 EvaluateOptions options, EvaluationData data,
                                 Sha256 digest,
                                 grpc::CallbackServerContext* context)
    : StreamWriter(context),
      model_(model),
      options_(std::move(options)),
      data_(std::move(data)),
      start_(absl::Now()),
      digest_(std::move(digest)) {
  const std::string& dataset = data_.identity.dataset;
  gauges_.emplace(model_.metrics, dataset.empty() ? kInlineDataset : dataset);
}

void EvaluateReactor::Run(Priority priority) {
  std::vector<std::unique_ptr<Job>> jobs;
  jobs.push_back(std::make_unique<EvaluateJob>(model_.symbols, options_,
                                               data_.read, this, absl::Now));
  model_.scheduler->Submit(
      TermsOf(JobKind::kEvaluate, priority, *context(), &cancel_),
      std::move(jobs));
}

void EvaluateReactor::OnCancel() {
  cancel_.Set();
  model_.scheduler->Wake();
}

void EvaluateReactor::OnScored(absl::string_view bytes) {
  digest_.Update(bytes);
}

v1::EvaluateResponse EvaluateReactor::MakeProgress(
    const EvaluateState& state) const {
  const int64_t scored = state.position - options_.begin;
  const int64_t total = options_.end - options_.begin;
  const int64_t before = options_.from.position - options_.begin;
  const double seconds = absl::ToDoubleSeconds(absl::Now() - start_);
  const double fresh = static_cast<double>(scored - before);
  v1::EvaluateResponse response;
  v1::EvaluationProgress* progress = response.mutable_progress();
  progress->set_scored_bytes(scored);
  progress->set_total_bytes(total);
  progress->set_bits_per_byte(PerByte(state.total, scored));
  if (seconds > 0 && fresh > 0) {
    progress->set_bytes_per_second(fresh / seconds);
    FillDuration(
        absl::Seconds(static_cast<double>(total - scored) * seconds / fresh),
        progress->mutable_eta());
  }
  *progress->mutable_accumulator() = ToProto(state.total);
  progress->set_resume_token(
      SealEvaluation(data_.identity, EvaluationPoint{state, digest_}));
  return response;
}

v1::EvaluateResponse EvaluateReactor::MakeResult(
    const EvaluateState& state, const RequestTiming& timing) const {
  v1::EvaluateResponse response;
  v1::EvaluationResult* result = response.mutable_result();
  const int64_t byte_count = options_.end - options_.begin;
  result->set_bits_per_byte(PerByte(state.total, byte_count));
  result->set_total_bits(state.total.bits());
  result->set_byte_count(byte_count);
  *result->mutable_accumulator() = ToProto(state.total);
  result->set_data_digest(digest_.Hex());
  result->set_model_version(model_.description.version());
  result->set_model_digest(model_.description.digest());
  result->set_numerics(model_.description.numerics());
  result->set_protocol(v1::EVALUATION_PROTOCOL_FULL_STREAM);
  result->mutable_range()->set_begin(options_.begin);
  result->mutable_range()->set_end(options_.end);
  int64_t begin = options_.begin;
  for (const BitsTotal& block : state.blocks) {
    v1::BlockBits* bits = result->add_blocks();
    bits->set_begin(begin);
    bits->set_byte_count(std::min(options_.block_bytes, options_.end - begin));
    *bits->mutable_accumulator() = ToProto(block);
    begin += options_.block_bytes;
  }
  FillTiming(timing, result->mutable_timing());
  return response;
}

void EvaluateReactor::OnProgress(const EvaluateState& state) {
  v1::EvaluateResponse response = MakeProgress(state);
  const v1::EvaluationProgress& progress = response.progress();
  gauges_->Set(static_cast<double>(progress.scored_bytes()) /
                   static_cast<double>(progress.total_bytes()),
               progress.bits_per_byte());
  Turn turn;
  {
    MutexLock lock(&mutex_);
    pending_ = std::move(response);
    turn = TakeTurn();
  }
  turn.Send();
}

void EvaluateReactor::OnEnd(const absl::Status& status,
                            const EvaluateState& state,
                            const RequestTiming& timing) {
  gauges_.reset();
  v1::EvaluateResponse response =
      status.ok() ? MakeResult(state, timing) : MakeProgress(state);
  const EvaluationIdentity& identity = data_.identity;
  if (status.ok() && data_.store != nullptr && options_.begin == 0 &&
      options_.end == identity.data_bytes) {
    data_.store->SetDigest(identity.dataset, data_.stamp, digest_.Hex());
  }
  Turn turn;
  {
    MutexLock lock(&mutex_);
    if (status.ok()) {
      model_.metrics->ObserveRequestBytes(
          options_.end - options_.from.position,
          sent_bytes_ + static_cast<int64_t>(response.ByteSizeLong()));
    }
    pending_ = std::move(response);
    end_ = status;
    turn = TakeTurn();
  }
  turn.Send();
}

bool EvaluateReactor::TakeNext(v1::EvaluateResponse* response) {
  if (!pending_.has_value()) return false;
  response->Swap(&*pending_);
  pending_.reset();
  sent_bytes_ += static_cast<int64_t>(response->ByteSizeLong());
  return true;
}

}  // namespace spanlm
