// SPDX-License-Identifier: Apache-2.0
#include "engine/step/model_tables.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "engine/cache/span_layout.h"
#include "engine/engine.h"
#include "engine/kernels/packed_linear.h"

namespace spanlm {
namespace {

static_assert(kBlock == kernels::kBlockPositions);
static_assert(ModelConfig::kMaxHeadDim == kernels::kMaxHeadDim);

int32_t RoundUpToBlock(int32_t count) {
  return static_cast<int32_t>((count + kBlock - 1) / kBlock * kBlock);
}

// Fills layer->heads and adds the layer's rings to *slot_floats.
absl::Status PlaceRings(const std::vector<int32_t>& reaches,
                        const std::vector<int32_t>& windows, int32_t head_dim,
                        LayerTables* layer, int64_t* slot_floats) {
  // A memory of one position reaches back 0; a ring is never empty.
  std::vector<int32_t> ring_reaches = reaches;
  std::vector<int32_t> ring_windows = windows;
  for (int32_t& reach : ring_reaches) reach = std::max(reach, 1);
  for (int32_t& window : ring_windows) window = std::max(window, 1);
  SPANLM_ASSIGN_OR_RETURN(
      const SpanLayout layout,
      SpanLayout::Create(ring_reaches, ring_windows, head_dim));
  for (int h = 0; h < layout.heads(); ++h) {
    kernels::HeadSpan span;
    span.key_offset = *slot_floats + layout.key_offset(h);
    span.value_offset = *slot_floats + layout.value_offset(h);
    span.key_capacity = layout.key_capacity(h);
    span.value_capacity = layout.value_capacity(h);
    span.reach = reaches[h];
    span.window = windows[h];
    layer->heads.push_back(span);
    layer->head_positions += span.window;
  }
  *slot_floats += layout.size();
  layer->head_order.resize(reaches.size());
  std::iota(layer->head_order.begin(), layer->head_order.end(), 0);
  std::stable_sort(
      layer->head_order.begin(), layer->head_order.end(),
      [&](int32_t a, int32_t b) { return reaches[a] > reaches[b]; });
  return absl::OkStatus();
}

// The heads' spans as fractions of attn_span, in [0, 1].
absl::StatusOr<std::vector<float>> LoadSpans(const ModelConfig& config,
                                             const TensorSource& tensors,
                                             const std::string& mask) {
  const std::string name = absl::StrCat(mask, "current_val");
  SPANLM_ASSIGN_OR_RETURN(
      std::vector<float> spans,
      LoadFloats(tensors, name, config->adapt_span_layer ? 1 : config->n_head));
  for (float& z : spans) z = std::clamp(z, 0.0F, 1.0F);
  spans.resize(static_cast<size_t>(config->n_head), spans[0]);
  return spans;
}

// Entry c stands for distance attn_span − c.
absl::StatusOr<std::vector<float>> LoadTemplate(const ModelConfig& config,
                                                const TensorSource& tensors,
                                                const std::string& mask) {
  const std::string name = absl::StrCat(mask, "mask_template");
  if (absl::IsNotFound(tensors.Find(name).status())) {
    std::vector<float> exact(static_cast<size_t>(config->attn_span));
    for (int32_t c = 0; c < config->attn_span; ++c) {
      exact[c] = static_cast<float>(c + 1 - config->attn_span);
    }
    return exact;
  }
  return LoadFloats(tensors, name, config->attn_span);
}

// docs/model.md, "windows": the product in double, as the published code has
// it.
int32_t LayerWindow(const ModelConfig& config,
                    const std::vector<float>& spans) {
  const int64_t size = config->attn_span;
  const double longest =
      static_cast<double>(*std::max_element(spans.begin(), spans.end())) *
      static_cast<double>(size);
  const int64_t max_size =
      std::min(size, static_cast<int64_t>(std::ceil(longest)) + config->ramp);
  const int64_t rounding = config->block_rounding;
  return static_cast<int32_t>(size - std::min(size - 1, size - max_size) /
                                         rounding * rounding);
}

std::string MaskPrefix(size_t layer) {
  return absl::StrCat("layers.", layer, ".attn.attn.adaptive_span._mask.");
}

// mask(distance) of a head that learned `span` positions.
float MaskAt(const ModelConfig& config, const std::vector<float>& mask_template,
             float span, int32_t distance) {
  const float slope = (mask_template[config->attn_span - distance] + span) /
                      static_cast<float>(config->ramp);
  return std::clamp(slope + 1.0F, 0.0F, 1.0F);
}

// All of a layer but its mask.
absl::Status AddAdaptiveLayer(const ModelConfig& config,
                              const TensorSource& tensors,
                              ModelTables* tables) {
  const std::string prefix = MaskPrefix(tables->layers.size());
  SPANLM_ASSIGN_OR_RETURN(const std::vector<float> fractions,
                          LoadSpans(config, tensors, prefix));
  SPANLM_ASSIGN_OR_RETURN(const std::vector<float> mask_template,
                          LoadTemplate(config, tensors, prefix));
  LayerTables layer;
  layer.window = LayerWindow(config, fractions);
  std::vector<int32_t> reaches;
  for (const float z : fractions) {
    const float span = z * static_cast<float>(config->attn_span);
    int32_t reach = layer.window;
    while (reach > 1 && MaskAt(config, mask_template, span, reach) <= 0) {
      --reach;
    }
    layer.spans.push_back(span);
    reaches.push_back(reach);
  }
  layer.mask_columns = *std::max_element(reaches.begin(), reaches.end()) + 1;
  const std::vector<int32_t> windows(reaches.size(), layer.window);
  SPANLM_RETURN_IF_ERROR(
      PlaceRings(reaches, config->renormalize ? reaches : windows,
                 config->d_head, &layer, &tables->slot_floats));
  tables->layers.push_back(std::move(layer));
  return absl::OkStatus();
}

int64_t MaskFloats(const LayerTables& layer) {
  const auto heads = static_cast<int64_t>(layer.heads.size());
  return kBlock + heads * (layer.mask_columns + kBlock);
}

absl::Status FillMask(const ModelConfig& config, const TensorSource& tensors,
                      size_t index, LayerTables* layer) {
  SPANLM_ASSIGN_OR_RETURN(const std::vector<float> mask_template,
                          LoadTemplate(config, tensors, MaskPrefix(index)));
  layer->mask.assign(static_cast<size_t>(MaskFloats(*layer)), 0.0F);
  float* entry = layer->mask.data() + kBlock;
  for (const float span : layer->spans) {
    for (int32_t d = layer->mask_columns - 1; d >= 1; --d) {
      *entry++ = MaskAt(config, mask_template, span, d);
    }
    entry += 1 + kBlock;  // distance 0, and the zeros behind the row
  }
  return absl::OkStatus();
}

// A stranger's config may ask for any of these; within its own bounds
// (model_bounds.cc) no size here passes 2^53.
absl::Status CheckLimits(int64_t slot_floats, int64_t table_floats,
                         const TableLimits& limits) {
  constexpr auto kFloatBytes = static_cast<int64_t>(sizeof(float));
  if (slot_floats * kFloatBytes > limits.state_budget_bytes) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "state_budget_bytes: ", limits.state_budget_bytes,
        ", one cache of this model takes ", slot_floats * kFloatBytes));
  }
  if (table_floats * kFloatBytes > limits.table_bytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat("this model takes ", table_floats * kFloatBytes,
                     " bytes of tables, want at most ", limits.table_bytes));
  }
  return absl::OkStatus();
}

// A table of distances 0 … reach, empty as yet.
absl::StatusOr<PositionTable> NewPositionTable(const ModelConfig& config,
                                               int32_t reach, int64_t heads) {
  PositionTable table;
  table.reach = reach;
  table.columns = RoundUpToBlock(reach + 1);
  const int64_t floats = int64_t{table.columns} * config->d_head;
  table.head_stride = heads == 1 ? 0 : floats;
  SPANLM_ASSIGN_OR_RETURN(table.keys, AlignedFloats::Create(floats * heads));
  return table;
}

float* KeyOfDistance(const ModelConfig& config, int32_t distance, int32_t dim,
                     PositionTable* table) {
  return table->keys.data() +
         kernels::KeyIndex(table->columns - 1 - distance, dim, config->d_head);
}

absl::StatusOr<ModelTables> AdaptiveSpanTables(const ModelConfig& config,
                                               const TensorSource& tensors,
                                               const TableLimits& limits) {
  ModelTables tables;
  tables.min_distance = 1;
  tables.renormalize = config->renormalize;
  int32_t window = 1;
  int64_t floats = 0;
  for (int32_t i = 0; i < config->n_layer; ++i) {
    SPANLM_RETURN_IF_ERROR(AddAdaptiveLayer(config, tensors, &tables));
    window = std::max(window, tables.layers.back().window);
    floats += MaskFloats(tables.layers.back());
  }
  floats += int64_t{RoundUpToBlock(window + 1)} * config->d_head;
  SPANLM_RETURN_IF_ERROR(CheckLimits(tables.slot_floats, floats, limits));
  for (size_t i = 0; i < tables.layers.size(); ++i) {
    SPANLM_RETURN_IF_ERROR(FillMask(config, tensors, i, &tables.layers[i]));
  }
  const int64_t size = config->attn_span;
  SPANLM_ASSIGN_OR_RETURN(const std::vector<float> keys,
                          LoadFloats(tensors, "key_pe", size * config->d_head));
  SPANLM_ASSIGN_OR_RETURN(PositionTable table,
                          NewPositionTable(config, window, 1));
  for (int32_t d = 1; d <= window; ++d) {
    for (int32_t i = 0; i < config->d_head; ++i) {
      *KeyOfDistance(config, d, i, &table) = keys[i * size + size - d];
    }
  }
  tables.positions.push_back(std::move(table));
  return tables;
}

absl::StatusOr<std::vector<float>> LoadFrequencies(
    const ModelConfig& config, const TensorSource& tensors) {
  const int32_t count = config->d_model / 2;
  if (!absl::IsNotFound(tensors.Find("pos_emb.inv_freq").status())) {
    return LoadFloats(tensors, "pos_emb.inv_freq", count);
  }
  std::vector<float> frequencies;
  for (int32_t i = 0; i < count; ++i) {
    frequencies.push_back(
        static_cast<float>(1 / std::pow(10000.0, 2.0 * i / config->d_model)));
  }
  return frequencies;
}

// r(δ) for δ = 0 … reach: sines, then cosines. [reach + 1, d_model]
absl::StatusOr<AlignedFloats> Sinusoids(const std::vector<float>& frequencies,
                                        int32_t reach) {
  const auto half = static_cast<int64_t>(frequencies.size());
  SPANLM_ASSIGN_OR_RETURN(
      AlignedFloats table,
      AlignedFloats::Create((int64_t{reach} + 1) * 2 * half));
  float* row = table.data();
  for (int32_t d = 0; d <= reach; ++d, row += 2 * half) {
    // The angle is rounded to float, as in the published code; its sine is not.
    for (int64_t i = 0; i < half; ++i) {
      const float angle = static_cast<float>(d) * frequencies[i];
      row[i] = static_cast<float>(std::sin(double{angle}));
      row[half + i] = static_cast<float>(std::cos(double{angle}));
    }
  }
  return table;
}

// R_δ = Wr r(δ), by our own product: a library's bits may depend on threads.
absl::StatusOr<PositionTable> ProjectSinusoids(const ModelConfig& config,
                                               const TensorSource& tensors,
                                               const std::string& name,
                                               const AlignedFloats& sinusoids) {
  const int32_t d = config->d_model;
  SPANLM_ASSIGN_OR_RETURN(const std::vector<float> weights,
                          LoadFloats(tensors, name, int64_t{d} * d));
  SPANLM_ASSIGN_OR_RETURN(AlignedFloats packed,
                          AlignedFloats::Create(kernels::PackedFloats(d, d)));
  kernels::PackWeights(weights.data(), d, d, packed.data());
  SPANLM_ASSIGN_OR_RETURN(AlignedFloats projected,
                          AlignedFloats::Create(sinusoids.size()));
  kernels::PackedLinearArgs args;
  args.rows = static_cast<int32_t>(sinusoids.size() / d);
  args.inputs = args.outputs = d;
  args.x = sinusoids.data();
  args.weights = packed.data();
  args.y = projected.data();
  args.x_row_stride = args.y_row_stride = d;
  if (const char* error =
          kernels::PackedLinearCpu(args, 0, kernels::PackedLinearTasks(args))) {
    return absl::InternalError(absl::StrCat(name, ": ", error));
  }
  SPANLM_ASSIGN_OR_RETURN(
      PositionTable table,
      NewPositionTable(config, args.rows - 1, config->n_head));
  for (int32_t distance = 0; distance < args.rows; ++distance) {
    const float* row = projected.data() + int64_t{distance} * d;
    for (int32_t i = 0; i < d; ++i) {
      *(KeyOfDistance(config, distance, i % config->d_head, &table) +
        i / config->d_head * table.head_stride) = row[i];
    }
  }
  return table;
}

absl::StatusOr<ModelTables> TransformerXlTables(const ModelConfig& config,
                                                const TensorSource& tensors,
                                                const TableLimits& limits) {
  if (!config->same_length) {
    return absl::FailedPreconditionError(
        "same_length is false: what a symbol sees depends on how the text is "
        "cut into blocks, which cannot be served; import the model with "
        "`import --set same_length=true --set mem_len=… --set clamp_len=…`");
  }
  ModelTables tables;
  tables.min_distance = 0;
  tables.empty_start = config->memory_start == MemoryStart::kEmpty;
  const int32_t reach = config->mem_len - 1;
  const int32_t told_apart =
      config->clamp_len > 0 ? std::min(config->clamp_len, reach) : reach;
  const std::vector<int32_t> reaches(static_cast<size_t>(config->n_head),
                                     reach);
  for (int32_t i = 0; i < config->n_layer; ++i) {
    const std::string attention = absl::StrCat("layers.", i, ".dec_attn.");
    const std::string biases = config->tie_biases ? "" : attention;
    LayerTables layer;
    layer.window = reach;
    SPANLM_ASSIGN_OR_RETURN(
        layer.content_bias,
        LoadFloats(tensors, absl::StrCat(biases, "r_w_bias"), config->d_model));
    SPANLM_ASSIGN_OR_RETURN(
        layer.position_bias,
        LoadFloats(tensors, absl::StrCat(biases, "r_r_bias"), config->d_model));
    SPANLM_RETURN_IF_ERROR(PlaceRings(reaches, reaches, config->d_head, &layer,
                                      &tables.slot_floats));
    tables.layers.push_back(std::move(layer));
  }
  // One for each layer, and two on the way there.
  const int64_t floats = (int64_t{config->n_layer} + 2) *
                         RoundUpToBlock(told_apart + 1) * config->d_model;
  SPANLM_RETURN_IF_ERROR(CheckLimits(tables.slot_floats, floats, limits));
  SPANLM_ASSIGN_OR_RETURN(const std::vector<float> frequencies,
                          LoadFrequencies(config, tensors));
  SPANLM_ASSIGN_OR_RETURN(const AlignedFloats sinusoids,
                          Sinusoids(frequencies, told_apart));
  for (int32_t i = 0; i < config->n_layer; ++i) {
    SPANLM_ASSIGN_OR_RETURN(
        PositionTable table,
        ProjectSinusoids(config, tensors,
                         absl::StrCat("layers.", i, ".dec_attn.r_net.weight"),
                         sinusoids));
    tables.positions.push_back(std::move(table));
  }
  return tables;
}

}  // namespace

absl::StatusOr<std::vector<float>> LoadFloats(const TensorSource& tensors,
                                              const std::string& name,
                                              int64_t elements) {
  SPANLM_ASSIGN_OR_RETURN(const TensorView view, tensors.Find(name));
  if (view.element_count() != elements) {
    return absl::DataLossError(absl::StrCat("tensor ", name, " has ",
                                            view.element_count(),
                                            " elements, want ", elements));
  }
  SPANLM_ASSIGN_OR_RETURN(std::vector<float> floats, ToFloats(view));
  const auto bad = std::find_if(floats.begin(), floats.end(),
                                [](float v) { return !std::isfinite(v); });
  if (bad != floats.end()) {
    return absl::DataLossError(absl::StrCat("tensor ", name, ": element ",
                                            bad - floats.begin(), " is ", *bad,
                                            ", want a finite number"));
  }
  return floats;
}

absl::StatusOr<ModelTables> MakeModelTables(const ModelConfig& config,
                                            const TensorSource& tensors,
                                            const TableLimits& limits) {
  absl::StatusOr<ModelTables> tables =
      config->architecture == Architecture::kAdaptiveSpan
          ? AdaptiveSpanTables(config, tensors, limits)
          : TransformerXlTables(config, tensors, limits);
  if (tables.ok()) {
    tables->scale = 1.0F / std::sqrt(static_cast<float>(config->d_head));
  }
  return tables;
}

}  // namespace spanlm
