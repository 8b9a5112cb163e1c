// SPDX-License-Identifier: Apache-2.0
// Resume tokens: what a call needs to go on where another one stopped.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/bits_total.h"
#include "server/jobs/evaluate_job.h"
#include "server/jobs/score_stream_job.h"
#include "server/rpc/sha256.h"
#include "spanlm/v1/common.pb.h"
#include "spanlm/v1/model.pb.h"

namespace spanlm {

v1::Accumulator ToProto(const BitsTotal& total);

// What must be the same when an evaluation resumes.
struct EvaluationIdentity {
  std::string model_digest;
  std::string numerics;
  std::string dataset;  // empty: inline data
  int64_t data_bytes = 0;
  int64_t begin = 0;
  int64_t end = 0;
  int64_t warmup_bytes = 0;
  int64_t block_bytes = 0;
};

struct EvaluationPoint {
  EvaluateState state;
  Sha256 digest;  // over [begin, state.position)
};

std::string SealEvaluation(const EvaluationIdentity& identity,
                           const EvaluationPoint& point);
// kInvalidArgument (FORMAT) if `token` is none; kFailedPrecondition
// (MODEL_MISMATCH) names what differs from `identity`.
absl::StatusOr<EvaluationPoint> OpenEvaluation(
    absl::string_view token, const EvaluationIdentity& identity);

std::string SealScoreStream(const v1::Model& model,
                            const ScoreStreamState& state);
// The same errors.
absl::StatusOr<ScoreStreamState> OpenScoreStream(absl::string_view token,
                                                 const v1::Model& model);

}  // namespace spanlm
