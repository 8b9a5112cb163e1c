// SPDX-License-Identifier: Apache-2.0
#include "server/jobs/byte_scorer.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/jobs/reason.h"

namespace spanlm {
namespace {

constexpr float kUniformLogProb = -5.545177444479562F;  // −ln 256

}  // namespace

TopBytes RankBytes(const std::array<float, 256>& log_probs, int32_t count) {
  std::array<uint8_t, 256> bytes;
  std::iota(bytes.begin(), bytes.end(), uint8_t{0});
  const auto end = bytes.begin() + std::min<size_t>(count, bytes.size());
  std::partial_sort(
      bytes.begin(), end, bytes.end(), [&log_probs](uint8_t a, uint8_t b) {
        return log_probs[a] != log_probs[b] ? log_probs[a] > log_probs[b]
                                            : a < b;
      });
  TopBytes top;
  for (auto byte = bytes.begin(); byte != end; ++byte) {
    if (std::isinf(log_probs[*byte])) break;  // cannot be had
    top.bytes.push_back(static_cast<char>(*byte));
    top.log_probs.push_back(log_probs[*byte]);
  }
  return top;
}

uint8_t ArgMax(const std::array<float, 256>& log_probs) {
  return static_cast<uint8_t>(
      std::max_element(log_probs.begin(), log_probs.end()) - log_probs.begin());
}

BitsTotal ByteScores::Total(size_t begin, size_t end) const {
  BitsTotal total;
  for (size_t i = begin; i < end; ++i) {
    if (i == 0 && starts_uniform) {
      total.AddUniformBytes(1);
    } else {
      total.Add(-log_probs[i]);
    }
  }
  return total;
}

ByteScorer::ByteScorer(const SymbolMap* symbols, const ScoreOptions& options)
    : symbols_(symbols), options_(options) {}

Want ByteScorer::want(bool has_scored) const {
  if (!has_scored) return Want::kNothing;
  return needs_distributions() ? Want::kAll : Want::kTargets;
}

absl::StatusOr<ByteScores> ByteScorer::Consume(absl::string_view bytes,
                                               size_t unscored,
                                               const SequenceResult& result,
                                               const SpanCache& cache) {
  const bool at_start = std::exchange(at_start_, false);
  ByteScores scores;
  scores.starts_uniform = at_start && unscored == 0;
  for (size_t i = unscored; i < bytes.size(); ++i) {
    const uint8_t byte = static_cast<uint8_t>(bytes[i]);
    float log_prob = kUniformLogProb;
    if (needs_distributions()) {
      const std::array<float, 256> all =
          symbols_->ByteLogProbs(Before(i, bytes.size(), result));
      if (!(at_start && i == 0)) log_prob = all[byte];
      Judge(byte, all, &scores);
    } else if (!(at_start && i == 0)) {
      log_prob = symbols_->ByteLogProb(byte, result.log_probs[i]);
    }
    if (!std::isfinite(log_prob)) {
      return WithReason(
          absl::InternalError(absl::StrCat(
              "byte ", i, " of the chunk that ends at position ",
              cache.position(), ": log-probability is ", log_prob)),
          kReasonNan);
    }
    scores.log_probs.push_back(log_prob);
  }
  if (needs_distributions()) {
    last_log_probs_.assign(cache.last_log_probs().begin(),
                           cache.last_log_probs().end());
  }
  return scores;
}

absl::Span<const float> ByteScorer::Before(size_t index, size_t chunk_size,
                                           const SequenceResult& result) const {
  if (index == 0) return last_log_probs_;
  const size_t width = result.log_probs.size() / chunk_size;
  return absl::MakeConstSpan(result.log_probs)
      .subspan((index - 1) * width, width);
}

void ByteScorer::Judge(uint8_t byte, const std::array<float, 256>& log_probs,
                       ByteScores* scores) const {
  if (options_.is_greedy && ArgMax(log_probs) != byte) scores->greedy = false;
  if (options_.top_count > 0) {
    scores->tops.push_back(RankBytes(log_probs, options_.top_count));
  }
}

}  // namespace spanlm
