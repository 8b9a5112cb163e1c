// SPDX-License-Identifier: Apache-2.0
// Negative log-likelihoods of token rows, by the serving path.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/engine.h"

namespace spanlm {

// Rows of equally many tokens, row after row.
struct TokenRows {
  int64_t rows = 0;
  int64_t length = 0;            // tokens a row
  std::vector<uint16_t> tokens;  // [rows, length]

  absl::Span<const uint16_t> row(int64_t index) const {
    return absl::MakeConstSpan(tokens).subspan(
        static_cast<size_t>(index * length), static_cast<size_t>(length));
  }
};

// Reads uint16 little-endian tokens. kNotFound; kDataLoss: a size that is no
// multiple of `rows` tokens, or fewer than two tokens a row.
absl::StatusOr<TokenRows> ReadTokenRows(const std::string& path, int64_t rows);

// kDataLoss names the first token that is not below `vocab_size`, its row and
// place.
absl::Status CheckTokens(const TokenRows& tokens, int32_t vocab_size);

// How many tokens of each row go through the model in one call: the sizes in
// turn, from the first again after the last. At least one, each at least 1.
using BlockSizes = std::vector<int64_t>;

// −ln P of token t + 1 after tokens 0 … t of its row, [rows, length − 1], in
// nats. Rows share steps, as many as fit one; `blocks` change no bit. `tokens`
// are checked. Errors: those of Engine.
absl::StatusOr<std::vector<float>> ScoreByStep(Engine& engine,
                                               const TokenRows& tokens,
                                               const BlockSizes& blocks);

}  // namespace spanlm
