// SPDX-License-Identifier: Apache-2.0
#include "engine/symbol_map.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"

namespace spanlm {

absl::StatusOr<SymbolMap> SymbolMap::Create(const ModelConfig& config) {
  if (!config.knows_bytes()) {
    return absl::FailedPreconditionError(
        "a token model: its symbols' bytes are not known; import the "
        "checkpoint again with its dictionary (--dict) or the text that fixed "
        "its symbols (--vocab-from)");
  }
  SymbolMap map;
  map.unknown_symbol_ = config->unknown_symbol;
  map.symbols_.fill(config->unknown_symbol);
  int32_t known = 0;
  for (size_t i = 0; i < config->symbols.size(); ++i) {
    if (!config->symbols[i].has_value()) continue;
    map.symbols_[*config->symbols[i]] = static_cast<int32_t>(i);
    ++known;
  }
  if (known < 256) {
    map.log_unknown_count_ = std::log(static_cast<float>(256 - known));
  }
  map.is_identity_ = config->vocab_size == 256;
  for (int32_t byte = 0; byte < 256; ++byte) {
    map.is_identity_ = map.is_identity_ && map.symbols_[byte] == byte;
  }
  return map;
}

absl::Status SymbolMap::Encode(absl::string_view bytes,
                               std::vector<uint16_t>* symbols) const {
  symbols->resize(bytes.size());
  for (size_t i = 0; i < bytes.size(); ++i) {
    const auto byte = static_cast<uint8_t>(bytes[i]);
    if (symbols_[byte] < 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("byte ", int{byte}, " at offset ", i,
                       ": the model has no symbol for it and no <unk>"));
    }
    (*symbols)[i] = symbol(byte);
  }
  return absl::OkStatus();
}

float SymbolMap::ByteLogProb(uint8_t byte, float symbol_log_prob) const {
  if (symbols_[byte] < 0) return -std::numeric_limits<float>::infinity();
  return symbols_[byte] == unknown_symbol_
             ? symbol_log_prob - log_unknown_count_
             : symbol_log_prob;
}

std::array<float, 256> SymbolMap::ByteLogProbs(
    absl::Span<const float> symbol_log_probs) const {
  std::array<float, 256> result;
  if (symbol_log_probs.empty()) {
    result.fill(-std::log(256.0F));
    return result;
  }
  for (int32_t byte = 0; byte < 256; ++byte) {
    const int32_t symbol = symbols_[byte];
    result[byte] =
        ByteLogProb(static_cast<uint8_t>(byte),
                    symbol < 0 ? -std::numeric_limits<float>::infinity()
                               : symbol_log_probs[symbol]);
  }
  return result;
}

}  // namespace spanlm
