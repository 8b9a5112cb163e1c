// SPDX-License-Identifier: Apache-2.0
// Results of jobs to messages.
#pragma once

#include <vector>

#include "server/jobs/byte_scorer.h"
#include "server/jobs/generate_job.h"
#include "server/jobs/job.h"
#include "server/jobs/score_job.h"
#include "server/rpc/model_registry.h"
#include "spanlm/v1/common.pb.h"
#include "spanlm/v1/generation.pb.h"
#include "spanlm/v1/scoring.pb.h"

namespace spanlm {

void FillDuration(absl::Duration value, google::protobuf::Duration* duration);
void FillTiming(const RequestTiming& timing, v1::ServerTiming* message);
void FillTops(const std::vector<TopBytes>& tops,
              google::protobuf::RepeatedPtrField<v1::TopBytes>* messages);
void FillScoreResult(const ScoreResult& result, const ScoreOptions& options,
                     v1::ScoreResult* message);
void FillStart(const ServedModel& model, int64_t seed,
               v1::GenerationStart* start);
void FillFinish(const GenerateSummary& summary, int64_t seed,
                const RequestTiming& timing, v1::GenerationFinish* finish);

// Appends to what a GenerateResponse or GenerateStreamResponse holds.
template <typename Response>
void AppendGenerated(const GeneratedBytes& bytes, Response* response) {
  response->mutable_data()->append(bytes.bytes);
  response->set_position(bytes.position);
  response->mutable_log_probs()->Add(bytes.log_probs.begin(),
                                     bytes.log_probs.end());
  response->mutable_sampling_log_probs()->Add(bytes.sampling_log_probs.begin(),
                                              bytes.sampling_log_probs.end());
  FillTops(bytes.tops, response->mutable_tops());
}

// What the metrics call a finish; none for kNone.
void CountFinish(FinishReason reason, ModelMetrics* metrics);

}  // namespace spanlm
