// SPDX-License-Identifier: Apache-2.0
// What a model is: the checked contents of its config.json.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace spanlm {

enum class Architecture { kAdaptiveSpan, kTransformerXl };
// Where the weights come from; decides defaults when importing, nothing later.
enum class Family { kNative, kOriginal, kFairseq, kKimiyoung, kHuggingFace };
// What a Transformer-XL attends to before a text's first symbol.
enum class MemoryStart { kZero, kEmpty };

// The fields of config.json, unchecked. Fields of the other architecture keep
// their defaults. Formulas: docs/model.md.
struct ModelFields {
  Architecture architecture = Architecture::kAdaptiveSpan;
  Family family = Family::kNative;
  int32_t n_layer = 0;
  int32_t d_model = 0;  // width of the residual stream
  int32_t n_head = 0;
  int32_t d_head = 0;   // n_head * d_head = d_model
  int32_t d_inner = 0;  // width of the feed-forward
  int32_t vocab_size = 0;

  // Adaptive Span.
  int32_t attn_span = 0;          // S, positions; a multiple of block_rounding
  int32_t ramp = 32;              // R, positions
  bool adapt_span_layer = false;  // one span a layer instead of one a head
  bool renormalize = true;        // false: fairseq's unrenormalised mask
  int32_t block_rounding = 64;    // windows are multiples of this

  // Transformer-XL.
  int32_t mem_len = 0;      // positions
  int32_t clamp_len = -1;   // largest distance told apart; -1: none
  bool same_length = true;  // every symbol sees mem_len positions
  bool tie_biases = false;  // one u and v for the model, else one per layer
  MemoryStart memory_start = MemoryStart::kZero;

  // The byte of each symbol, nullopt for specials; empty: bytes unknown (a
  // token model, which cannot be served).
  std::vector<std::optional<uint8_t>> symbols;
  // The symbol that stands for bytes without one of their own, or -1.
  int32_t unknown_symbol = -1;
  // SHA-256 of model.safetensors in lower-case hex; empty until written.
  std::string weights_sha256;
};

// Checked hyperparameters; cannot exist invalid. Immutable.
class ModelConfig {
 public:
  static constexpr int kFormatVersion = 1;
  static constexpr int32_t kMaxHeadDim = 128;

  // kInvalidArgument names the field, its value and the bound.
  static absl::StatusOr<ModelConfig> Create(ModelFields fields);
  // Reads config.json's text. kInvalidArgument for bad JSON, a missing, unknown
  // or out-of-bound key; kFailedPrecondition for another format_version.
  static absl::StatusOr<ModelConfig> FromJson(absl::string_view text);
  // The text of config.json; equal configs give equal bytes.
  std::string ToJson() const;

  const ModelFields* operator->() const { return &fields_; }
  const ModelFields& fields() const { return fields_; }

  // Whether every symbol's byte is known, so that bytes can be served.
  bool knows_bytes() const { return !fields_.symbols.empty(); }

 private:
  explicit ModelConfig(ModelFields fields) : fields_(std::move(fields)) {}
  ModelFields fields_;
};

// "adaptive_span", "transformer_xl"; "native", "original", "fairseq",
// "kimiyoung", "huggingface".
absl::string_view Name(Architecture architecture);
absl::string_view Name(Family family);

// The 256 bytes in order: what a native model's symbols are.
std::vector<std::optional<uint8_t>> AllBytes();

}  // namespace spanlm
