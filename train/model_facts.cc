// SPDX-License-Identifier: Apache-2.0
#include "train/model_facts.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"
#include "engine/attention/span_mask.h"
#include "engine/cache/span_layout.h"

namespace spanlm {
namespace {

// The layer's learned fractions, [n_head].
absl::StatusOr<std::vector<float>> FractionsOf(const ModelConfig& config,
                                               const TensorSource& weights,
                                               int32_t layer) {
  SPANLM_ASSIGN_OR_RETURN(
      const TensorView tensor,
      weights.Find(absl::StrCat("layers.", layer,
                                ".attn.attn.adaptive_span._mask.current_val")));
  SPANLM_ASSIGN_OR_RETURN(std::vector<float> fractions, ToFloats(tensor));
  if (fractions.empty()) {
    return absl::DataLossError(absl::StrCat(tensor.name, ": no span in it"));
  }
  for (float& fraction : fractions) {
    fraction = std::clamp(fraction, 0.0F, 1.0F);
  }
  // One span for the layer (adapt_span_layer) stands for all of its heads.
  fractions.resize(static_cast<size_t>(config->n_head), fractions.front());
  return fractions;
}

absl::Status AddSpanLayer(const ModelConfig& config,
                          absl::Span<const float> fractions,
                          ModelFacts* facts) {
  const SpanGeometry geometry{config->attn_span, config->ramp,
                              config->block_rounding};
  std::vector<float> spans;
  std::vector<int32_t> reaches;
  for (const float& fraction : fractions) {
    spans.push_back(fraction * static_cast<float>(config->attn_span));
    reaches.push_back(WindowOfLayer({&fraction, 1}, geometry).max_size);
  }
  facts->spans.push_back(std::move(spans));
  facts->reaches.push_back(std::move(reaches));
  facts->layer_windows.push_back(WindowOfLayer(fractions, geometry).window);
  return absl::OkStatus();
}

// Adds the rings of a layer to `bytes`.
absl::Status AddRings(const ModelConfig& config,
                      absl::Span<const int32_t> reaches, int32_t layer_window,
                      SessionBytes* bytes) {
  std::vector<int32_t> windows(reaches.begin(), reaches.end());
  if (!config->renormalize) {
    std::fill(windows.begin(), windows.end(), layer_window);
  }
  SPANLM_ASSIGN_OR_RETURN(const SpanLayout layout,
                          SpanLayout::Create(reaches, windows, config->d_head));
  int64_t rows = 0;
  for (int head = 0; head < layout.heads(); ++head) {
    rows += layout.key_capacity(head) + layout.value_capacity(head);
  }
  bytes->fp32 += layout.size() * 4;
  bytes->bf16 += layout.size() * 2;
  bytes->int8 += layout.size() + rows * 4;
  return absl::OkStatus();
}

absl::string_view SemanticsOf(const ModelConfig& config) {
  if (config->architecture == Architecture::kAdaptiveSpan) {
    return config->renormalize ? "original" : "fairseq";
  }
  return config->memory_start == MemoryStart::kEmpty ? "kimiyoung"
                                                     : "huggingface";
}

}  // namespace

absl::StatusOr<ModelFacts> FactsOf(const ModelConfig& config,
                                   const TensorSource& weights) {
  ModelFacts facts;
  facts.semantics = std::string(SemanticsOf(config));
  facts.receptive_field_bytes = 1;
  for (int32_t layer = 0; layer < config->n_layer; ++layer) {
    if (config->architecture == Architecture::kAdaptiveSpan) {
      SPANLM_ASSIGN_OR_RETURN(const std::vector<float> fractions,
                              FractionsOf(config, weights, layer));
      SPANLM_RETURN_IF_ERROR(AddSpanLayer(config, fractions, &facts));
    } else {
      const int32_t reach = std::max(config->mem_len - 1, 0);
      facts.reaches.emplace_back(static_cast<size_t>(config->n_head), reach);
      facts.layer_windows.push_back(reach);
    }
    facts.receptive_field_bytes += facts.layer_windows.back();
    // A ring holds at least one position, whatever is attended to.
    std::vector<int32_t> kept = facts.reaches.back();
    for (int32_t& reach : kept) reach = std::max(reach, 1);
    SPANLM_RETURN_IF_ERROR(AddRings(config, kept,
                                    std::max(facts.layer_windows.back(), 1),
                                    &facts.session_bytes));
  }
  return facts;
}

std::string FormatSpans(const ModelFacts& facts) {
  std::string text;
  if (facts.spans.empty()) {
    absl::StrAppend(&text, "every layer: reach ", facts.layer_windows.front(),
                    "\n");
  }
  for (size_t layer = 0; layer < facts.spans.size(); ++layer) {
    absl::StrAppend(
        &text, absl::StrFormat("layer %d: spans [", layer),
        absl::StrJoin(facts.spans[layer], ", ",
                      [](std::string* out, float span) {
                        absl::StrAppend(out, absl::StrFormat("%.1f", span));
                      }),
        "], reaches [", absl::StrJoin(facts.reaches[layer], ", "), "], window ",
        facts.layer_windows[layer], "\n");
  }
  return text;
}

}  // namespace spanlm
