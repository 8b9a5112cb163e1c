// SPDX-License-Identifier: Apache-2.0
// Messages to checked inputs. Every error names the field, its value and the
// bound; kInvalidArgument unless said otherwise.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "engine/sampler.h"
#include "server/jobs/byte_scorer.h"
#include "server/jobs/evaluate_job.h"
#include "server/jobs/generate_job.h"
#include "server/jobs/job.h"
#include "server/jobs/score_job.h"
#include "server/jobs/score_stream_job.h"
#include "server/server_options.h"
#include "spanlm/v1/evaluation.pb.h"
#include "spanlm/v1/generation.pb.h"
#include "spanlm/v1/scoring.pb.h"

namespace spanlm {

// What a Score asks for. The items lie in the request.
struct ScoreInput {
  std::vector<ScoreItem> items;
  ScoreOptions options;
  Priority priority = Priority::kStandard;
};
// kUnimplemented (OPTION) for a session.
absl::StatusOr<ScoreInput> ParseScore(const v1::ScoreRequest& request,
                                      const RpcLimits& limits);

// What opens a ScoreStream; `start` and `from` of the options are the token's,
// for the caller to find. Errors name fields of `open`.
struct ScoreStreamInput {
  ScoreStreamOptions options;
  Priority priority = Priority::kStandard;
};
absl::StatusOr<ScoreStreamInput> ParseOpen(
    const v1::ScoreStreamRequest::Open& open);

struct FlowInput {
  int64_t min_chunk_bytes = 1;
  absl::Duration max_delay = absl::InfiniteDuration();
};
// What Generate and GenerateStream ask for. The prompt lies in the request.
struct GenerateInput {
  absl::string_view prompt;
  GenerateOptions options;
  FlowInput flow;
  Priority priority = Priority::kStandard;
};
// Without a seed draws one. kUnimplemented (OPTION) for a session.
absl::StatusOr<GenerateInput> ParseGenerate(const v1::GenerateRequest& request,
                                            const RpcLimits& limits);
absl::StatusOr<GenerateInput> ParseGenerateStream(
    const v1::GenerateStreamRequest& request, const RpcLimits& limits);

// What an Evaluate asks for, as far as it can be told without the data.
struct EvaluateInput {
  EvaluateOptions options;
  Priority priority = Priority::kBatch;
};
// `data_bytes` is the size of the data. kOutOfRange (RANGE); kUnimplemented
// (OPTION) for protocols but FULL_STREAM.
absl::StatusOr<EvaluateInput> ParseEvaluate(const v1::EvaluateRequest& request,
                                            int64_t data_bytes,
                                            int64_t receptive_field_bytes,
                                            const RpcLimits& limits);

}  // namespace spanlm
