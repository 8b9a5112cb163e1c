// SPDX-License-Identifier: Apache-2.0
// Between a user's bytes and a model's symbols.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "engine/model_config.h"

namespace spanlm {

// Byte ↔ symbol, with fairseq's <unk> for bytes that have none. Immutable.
class SymbolMap {
 public:
  // kFailedPrecondition for a token model, saying how to import it with bytes.
  static absl::StatusOr<SymbolMap> Create(const ModelConfig& config);

  // Replaces `*symbols`. kInvalidArgument names the first byte that the model
  // has no symbol for, and its offset.
  absl::Status Encode(absl::string_view bytes,
                      std::vector<uint16_t>* symbols) const;

  // Whether all 256 bytes have a symbol of their own in byte order.
  bool is_identity() const { return is_identity_; }

  // ln P of `byte` where its symbol has `symbol_log_prob`: the same float,
  // less ln n if n bytes share <unk>.
  float ByteLogProb(uint8_t byte, float symbol_log_prob) const;

  // The 256 bytes' ln P from a distribution over symbols, −inf for a byte that
  // cannot be had. An empty `symbol_log_probs` is the start of a text: uniform.
  std::array<float, 256> ByteLogProbs(
      absl::Span<const float> symbol_log_probs) const;

  // The symbol of a byte that Encode accepts.
  uint16_t symbol(uint8_t byte) const {
    return static_cast<uint16_t>(symbols_[byte]);
  }

 private:
  SymbolMap() = default;

  std::array<int32_t, 256> symbols_{};  // −1: none
  int32_t unknown_symbol_ = -1;
  float log_unknown_count_ = 0;  // ln of the number of bytes that share <unk>
  bool is_identity_ = false;
};

}  // namespace spanlm
