// SPDX-License-Identifier: Apache-2.0
#include "engine/model_bounds.h"

#include <array>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/status_macros.h"

namespace spanlm {
namespace {

// Bounds that keep every product of two fields within int64 and a hostile
// config.json from asking for the machine's memory.
constexpr int32_t kMaxLayers = 1024;
constexpr int32_t kMaxWidth = 65536;
constexpr int32_t kMaxInner = 1 << 20;
constexpr int32_t kMinVocabulary = 2;
constexpr int32_t kMaxVocabulary = 65535;  // symbols are uint16
constexpr int32_t kMaxPositions = 1 << 24;

absl::Status CheckRange(absl::string_view field, int64_t value, int64_t least,
                        int64_t most) {
  if (value >= least && value <= most) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(field, ": ", value, ", want ", least, " to ", most));
}

absl::Status CheckShape(const ModelFields& fields) {
  SPANLM_RETURN_IF_ERROR(CheckRange("n_layer", fields.n_layer, 1, kMaxLayers));
  SPANLM_RETURN_IF_ERROR(CheckRange("d_model", fields.d_model, 1, kMaxWidth));
  SPANLM_RETURN_IF_ERROR(CheckRange("n_head", fields.n_head, 1, kMaxWidth));
  SPANLM_RETURN_IF_ERROR(
      CheckRange("d_head", fields.d_head, 1, ModelConfig::kMaxHeadDim));
  SPANLM_RETURN_IF_ERROR(CheckRange("d_inner", fields.d_inner, 1, kMaxInner));
  SPANLM_RETURN_IF_ERROR(CheckRange("vocab_size", fields.vocab_size,
                                    kMinVocabulary, kMaxVocabulary));
  if (int64_t{fields.n_head} * fields.d_head != fields.d_model) {
    return absl::InvalidArgumentError(absl::StrCat(
        "d_model: ", fields.d_model,
        ", want n_head * d_head = ", int64_t{fields.n_head} * fields.d_head));
  }
  return absl::OkStatus();
}

// A field that the architecture does not have stays as it was born, so that
// equal models have equal configs.
template <typename Value>
absl::Status CheckAbsent(absl::string_view field, Value value, Value want,
                         Architecture architecture) {
  if (value == want) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(field, ": not a field of ",
                                                 Name(architecture),
                                                 ", must keep its default"));
}

absl::Status CheckAdaptiveSpan(const ModelFields& fields) {
  const ModelFields born;
  const auto absent = [&](absl::string_view field, auto member) {
    return CheckAbsent(field, fields.*member, born.*member,
                       fields.architecture);
  };
  SPANLM_RETURN_IF_ERROR(
      CheckRange("block_rounding", fields.block_rounding, 1, kMaxPositions));
  SPANLM_RETURN_IF_ERROR(
      CheckRange("attn_span", fields.attn_span, 1, kMaxPositions));
  if (fields.attn_span % fields.block_rounding != 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "attn_span: ", fields.attn_span,
        ", want a multiple of block_rounding = ", fields.block_rounding));
  }
  // The mask divides by the ramp.
  SPANLM_RETURN_IF_ERROR(CheckRange("ramp", fields.ramp, 1, kMaxPositions));
  SPANLM_RETURN_IF_ERROR(absent("mem_len", &ModelFields::mem_len));
  SPANLM_RETURN_IF_ERROR(absent("clamp_len", &ModelFields::clamp_len));
  SPANLM_RETURN_IF_ERROR(absent("same_length", &ModelFields::same_length));
  SPANLM_RETURN_IF_ERROR(absent("tie_biases", &ModelFields::tie_biases));
  return absent("memory_start", &ModelFields::memory_start);
}

absl::Status CheckTransformerXl(const ModelFields& fields) {
  const ModelFields born;
  const auto absent = [&](absl::string_view field, auto member) {
    return CheckAbsent(field, fields.*member, born.*member,
                       fields.architecture);
  };
  if (fields.d_model % 2 != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("d_model: ", fields.d_model,
                     ", want an even number (half sines, half cosines)"));
  }
  SPANLM_RETURN_IF_ERROR(
      CheckRange("mem_len", fields.mem_len, 1, kMaxPositions));
  if (fields.clamp_len != -1) {
    SPANLM_RETURN_IF_ERROR(
        CheckRange("clamp_len (-1: none)", fields.clamp_len, 1, kMaxPositions));
  }
  SPANLM_RETURN_IF_ERROR(absent("attn_span", &ModelFields::attn_span));
  SPANLM_RETURN_IF_ERROR(absent("ramp", &ModelFields::ramp));
  SPANLM_RETURN_IF_ERROR(
      absent("adapt_span_layer", &ModelFields::adapt_span_layer));
  SPANLM_RETURN_IF_ERROR(absent("renormalize", &ModelFields::renormalize));
  return absent("block_rounding", &ModelFields::block_rounding);
}

absl::Status CheckSymbols(const ModelFields& fields) {
  const size_t size = fields.symbols.size();
  if (size != 0 && size != static_cast<size_t>(fields.vocab_size)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "symbols: ", size,
        " entries, want none or vocab_size = ", fields.vocab_size));
  }
  std::array<int32_t, 256> symbol_of;
  symbol_of.fill(-1);
  bool has_byte = size == 0;
  for (size_t i = 0; i < size; ++i) {
    if (!fields.symbols[i].has_value()) continue;
    int32_t& symbol = symbol_of[*fields.symbols[i]];
    if (symbol >= 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("symbols: byte ", int{*fields.symbols[i]},
                       " belongs to both ", symbol, " and ", i));
    }
    symbol = static_cast<int32_t>(i);
    has_byte = true;
  }
  if (!has_byte) {
    return absl::InvalidArgumentError("symbols: no entry is a byte");
  }
  if (fields.unknown_symbol == -1) return absl::OkStatus();
  SPANLM_RETURN_IF_ERROR(CheckRange("unknown_symbol (-1: none)",
                                    fields.unknown_symbol, 0,
                                    static_cast<int64_t>(size) - 1));
  if (fields.symbols[fields.unknown_symbol].has_value()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "unknown_symbol: ", fields.unknown_symbol, " is the symbol of byte ",
        int{*fields.symbols[fields.unknown_symbol]}));
  }
  return absl::OkStatus();
}

absl::Status CheckDigest(const std::string& digest) {
  bool good = digest.empty() || digest.size() == 64;
  for (const char c : digest) {
    good = good && absl::ascii_isxdigit(c) && !absl::ascii_isupper(c);
  }
  if (good) return absl::OkStatus();
  return absl::InvalidArgumentError(
      "weights_sha256: want 64 lower-case hex digits");
}

}  // namespace

absl::Status CheckBounds(const ModelFields& fields) {
  SPANLM_RETURN_IF_ERROR(CheckShape(fields));
  SPANLM_RETURN_IF_ERROR(fields.architecture == Architecture::kAdaptiveSpan
                             ? CheckAdaptiveSpan(fields)
                             : CheckTransformerXl(fields));
  SPANLM_RETURN_IF_ERROR(CheckSymbols(fields));
  return CheckDigest(fields.weights_sha256);
}

}  // namespace spanlm
