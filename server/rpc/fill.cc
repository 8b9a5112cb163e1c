// SPDX-License-Identifier: Apache-2.0
#include "server/rpc/fill.h"

#include "server/rpc/resume_token.h"
#include "server/rpc/status.h"

namespace spanlm {

void FillDuration(absl::Duration value, google::protobuf::Duration* duration) {
  duration->set_seconds(absl::IDivDuration(value, absl::Seconds(1), &value));
  duration->set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(value)));
}

void FillTiming(const RequestTiming& timing, v1::ServerTiming* message) {
  FillDuration(timing.queue, message->mutable_queue_duration());
  FillDuration(timing.compute, message->mutable_compute_duration());
  FillDuration(timing.total, message->mutable_total_duration());
}

void FillTops(const std::vector<TopBytes>& tops,
              google::protobuf::RepeatedPtrField<v1::TopBytes>* messages) {
  for (const TopBytes& top : tops) {
    v1::TopBytes* message = messages->Add();
    message->set_data(top.bytes);
    message->mutable_log_probs()->Add(top.log_probs.begin(),
                                      top.log_probs.end());
  }
}

void FillScoreResult(const ScoreResult& result, const ScoreOptions& options,
                     v1::ScoreResult* message) {
  if (!result.status.ok()) {
    *message->mutable_status() = ToRpcStatus(result.status);
    return;
  }
  message->set_log_prob_nats(0.0 - result.total.nats());  // 0 for no bytes
  message->set_bits(result.total.bits());
  message->set_byte_count(result.byte_count);
  message->set_greedy(options.is_greedy && result.greedy);
  message->mutable_log_probs()->Add(result.log_probs.begin(),
                                    result.log_probs.end());
  FillTops(result.tops, message->mutable_tops());
  *message->mutable_accumulator() = ToProto(result.total);
}

void FillStart(const ServedModel& model, int64_t seed,
               v1::GenerationStart* start) {
  start->set_seed(seed);
  start->set_model_version(model.description.version());
  start->set_model_digest(model.description.digest());
  start->set_numerics(model.description.numerics());
}

void FillFinish(const GenerateSummary& summary, int64_t seed,
                const RequestTiming& timing, v1::GenerationFinish* finish) {
  switch (summary.reason) {
    case FinishReason::kStopSequence:
      finish->set_reason(v1::FINISH_REASON_STOP_SEQUENCE);
      break;
    case FinishReason::kMaxBytes:
      finish->set_reason(v1::FINISH_REASON_MAX_BYTES);
      break;
    case FinishReason::kMaxDuration:
      finish->set_reason(v1::FINISH_REASON_MAX_DURATION);
      break;
    case FinishReason::kNone:
      break;
  }
  finish->set_stop_sequence(summary.stop_sequence);
  finish->mutable_usage()->set_read_bytes(summary.usage.read);
  finish->mutable_usage()->set_scored_bytes(summary.usage.scored);
  finish->mutable_usage()->set_generated_bytes(summary.usage.generated);
  finish->set_seed(seed);
  FillTiming(timing, finish->mutable_timing());
}

void CountFinish(FinishReason reason, ModelMetrics* metrics) {
  switch (reason) {
    case FinishReason::kStopSequence:
      metrics->CountFinish(FinishLabel::kStop);
      break;
    case FinishReason::kMaxBytes:
      metrics->CountFinish(FinishLabel::kMaxBytes);
      break;
    case FinishReason::kMaxDuration:
      metrics->CountFinish(FinishLabel::kMaxDuration);
      break;
    case FinishReason::kNone:
      break;
  }
}

}  // namespace spanlm
