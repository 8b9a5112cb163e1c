// SPDX-License-Identifier: Apache-2.0
#include "train/evaluate_stream.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_format.h"
#include "base/status_macros.h"

namespace spanlm {

absl::StatusOr<StreamScore> EvaluateStream(
    Engine& engine, const SymbolMap& symbols, absl::string_view bytes,
    int64_t chunk_bytes,
    const std::function<void(const StreamScore&)>& progress) {
  SPANLM_ASSIGN_OR_RETURN(SpanCache cache, engine.NewCache());
  StreamScore score;
  std::vector<uint16_t> chunk;
  while (!bytes.empty()) {
    const absl::string_view piece =
        bytes.substr(0, static_cast<size_t>(chunk_bytes));
    if (const absl::Status status = symbols.Encode(piece, &chunk);
        !status.ok()) {
      return absl::FailedPreconditionError(
          absl::StrFormat("in the chunk at byte %d: %s", score.byte_count,
                          std::string(status.message())));
    }
    SPANLM_ASSIGN_OR_RETURN(StepResult result,
                            engine.Step({{&cache, chunk, Want::kTargets}}));
    const std::vector<float>& log_probs = result.front().log_probs;
    for (size_t i = 0; i < piece.size(); ++i) {
      if (score.byte_count == 0) {
        score.total.AddUniformBytes(1);
      } else {
        score.total.Add(
            -symbols.ByteLogProb(static_cast<uint8_t>(piece[i]), log_probs[i]));
      }
      ++score.byte_count;
    }
    bytes.remove_prefix(piece.size());
    progress(score);
  }
  return score;
}

}  // namespace spanlm
