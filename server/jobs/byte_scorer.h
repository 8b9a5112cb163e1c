// SPDX-License-Identifier: Apache-2.0
// From the engine's answers about symbols to the scores of bytes.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "base/bits_total.h"
#include "engine/batch.h"
#include "engine/span_cache.h"
#include "engine/symbol_map.h"

namespace spanlm {

// What to return beside the sums.
struct ScoreOptions {
  bool per_byte = false;
  int32_t top_count = 0;  // 0 to 256
  bool is_greedy = false;
};

// The likeliest bytes at one position, best first; ties by byte order.
struct TopBytes {
  std::string bytes;
  std::vector<float> log_probs;  // nats, as many as bytes
};

// The `count` likeliest bytes, count up to 256.
TopBytes RankBytes(const std::array<float, 256>& log_probs, int32_t count);

// Most bytes of a message that TopBytes of `count` bytes take.
inline int64_t TopBytesSize(int32_t count) {
  return count * static_cast<int64_t>(sizeof(float) + 1) + 16;
}

// The likeliest byte; the smallest of equal ones.
uint8_t ArgMax(const std::array<float, 256>& log_probs);

// Scores of the scored bytes of one chunk.
struct ByteScores {
  std::vector<float> log_probs;  // nats, one a byte
  bool starts_uniform = false;   // the first byte costs exactly 8 bits
  bool greedy = true;            // each byte the arg-max; if asked for
  std::vector<TopBytes> tops;    // one a byte, if asked for

  // The sum of −log2 P over bytes [begin, end) of these.
  BitsTotal Total(size_t begin, size_t end) const;
};

// Scores one text, chunk by chunk. One thread at a time.
class ByteScorer {
 public:
  // `symbols` is lent.
  ByteScorer(const SymbolMap* symbols, const ScoreOptions& options);

  // What to ask the engine of a chunk of which bytes are to be scored, or none.
  Want want(bool has_scored) const;

  // Takes the answer to the chunk of `bytes`, of which the first `unscored` are
  // only read. kInternal (NAN) for a log-probability that is no finite number.
  absl::StatusOr<ByteScores> Consume(absl::string_view bytes, size_t unscored,
                                     const SequenceResult& result,
                                     const SpanCache& cache);

 private:
  bool needs_distributions() const {
    return options_.is_greedy || options_.top_count > 0;
  }
  // The distribution before byte `index` of a chunk.
  absl::Span<const float> Before(size_t index, size_t chunk_size,
                                 const SequenceResult& result) const;
  void Judge(uint8_t byte, const std::array<float, 256>& log_probs,
             ByteScores* scores) const;

  const SymbolMap* const symbols_;
  const ScoreOptions options_;
  bool at_start_ = true;               // nothing was read yet
  std::vector<float> last_log_probs_;  // before the chunk; empty: uniform
};

}  // namespace spanlm
