// SPDX-License-Identifier: Apache-2.0
#include "engine/step/packed_model.h"

#include <cmath>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "base/status_macros.h"
#include "engine/kernels/packed_linear.h"

namespace spanlm {
namespace {

absl::StatusOr<PackedMap> Pack(const std::vector<float>& weights,
                               int32_t outputs, int32_t inputs) {
  PackedMap map;
  map.inputs = inputs;
  map.outputs = outputs;
  SPANLM_ASSIGN_OR_RETURN(
      map.weights,
      AlignedFloats::Create(kernels::PackedFloats(outputs, inputs)));
  kernels::PackWeights(weights.data(), outputs, inputs, map.weights.data());
  return map;
}

// One map out of the stacked weights `names`, [outputs / names, inputs] each.
absl::StatusOr<PackedMap> LoadMap(const TensorSource& tensors,
                                  absl::Span<const std::string> names,
                                  int32_t outputs, int32_t inputs) {
  std::vector<float> weights;
  const auto parts = static_cast<int64_t>(names.size());
  for (const std::string& name : names) {
    SPANLM_ASSIGN_OR_RETURN(
        const std::vector<float> part,
        LoadFloats(tensors, name, int64_t{outputs} / parts * inputs));
    weights.insert(weights.end(), part.begin(), part.end());
  }
  return Pack(weights, outputs, inputs);
}

// A map with bias: `name`.weight and `name`.bias.
absl::StatusOr<PackedMap> LoadLinear(const TensorSource& tensors,
                                     const std::string& name, int32_t outputs,
                                     int32_t inputs) {
  SPANLM_ASSIGN_OR_RETURN(
      PackedMap map,
      LoadMap(tensors, {absl::StrCat(name, ".weight")}, outputs, inputs));
  SPANLM_ASSIGN_OR_RETURN(
      map.bias, LoadFloats(tensors, absl::StrCat(name, ".bias"), outputs));
  return map;
}

absl::StatusOr<NormWeights> LoadNorm(const TensorSource& tensors,
                                     const std::string& name, int32_t width) {
  NormWeights norm;
  SPANLM_ASSIGN_OR_RETURN(
      norm.weight, LoadFloats(tensors, absl::StrCat(name, ".weight"), width));
  SPANLM_ASSIGN_OR_RETURN(
      norm.bias, LoadFloats(tensors, absl::StrCat(name, ".bias"), width));
  return norm;
}

// Where an architecture keeps the parts of a layer.
struct LayerNames {
  std::vector<std::string> query_key_value;
  std::string attention_out, norm1, inner, outer, norm2;
};

LayerNames NamesOf(const ModelConfig& config, int32_t layer) {
  const std::string prefix = absl::StrCat("layers.", layer, ".");
  if (config->architecture == Architecture::kAdaptiveSpan) {
    const std::string projection = prefix + "attn.proj_";
    return {{projection + "query.weight", projection + "key.weight",
             projection + "val.weight"},
            projection + "out.weight",
            prefix + "norm1",
            prefix + "ff.fc1",
            prefix + "ff.fc2",
            prefix + "norm2"};
  }
  return {
      {prefix + "dec_attn.qkv_net.weight"}, prefix + "dec_attn.o_net.weight",
      prefix + "dec_attn.layer_norm",       prefix + "pos_ff.CoreNet.0",
      prefix + "pos_ff.CoreNet.3",          prefix + "pos_ff.layer_norm"};
}

absl::StatusOr<PackedLayer> LoadLayer(const ModelConfig& config,
                                      const TensorSource& tensors,
                                      int32_t index) {
  const LayerNames names = NamesOf(config, index);
  const int32_t d = config->d_model;
  PackedLayer layer;
  SPANLM_ASSIGN_OR_RETURN(layer.query_key_value,
                          LoadMap(tensors, names.query_key_value, 3 * d, d));
  SPANLM_ASSIGN_OR_RETURN(layer.attention_out,
                          LoadMap(tensors, {names.attention_out}, d, d));
  SPANLM_ASSIGN_OR_RETURN(layer.norm1, LoadNorm(tensors, names.norm1, d));
  SPANLM_ASSIGN_OR_RETURN(layer.inner,
                          LoadLinear(tensors, names.inner, config->d_inner, d));
  SPANLM_ASSIGN_OR_RETURN(layer.outer,
                          LoadLinear(tensors, names.outer, d, config->d_inner));
  SPANLM_ASSIGN_OR_RETURN(layer.norm2, LoadNorm(tensors, names.norm2, d));
  return layer;
}

// Transformer-XL's output weight is its embedding, unless the file has another.
absl::StatusOr<PackedMap> LoadTiedLogits(const ModelConfig& config,
                                         const TensorSource& tensors,
                                         const std::vector<float>& embedding) {
  const std::string weight = "crit.out_layers.0.weight";
  const int32_t d = config->d_model;
  const int32_t symbols = config->vocab_size;
  SPANLM_ASSIGN_OR_RETURN(PackedMap map,
                          absl::IsNotFound(tensors.Find(weight).status())
                              ? Pack(embedding, symbols, d)
                              : LoadMap(tensors, {weight}, symbols, d));
  SPANLM_ASSIGN_OR_RETURN(
      map.bias, LoadFloats(tensors, "crit.out_layers.0.bias", symbols));
  return map;
}

}  // namespace

absl::StatusOr<PackedModel> PackedModel::Create(const ModelConfig& config,
                                                const TensorSource& tensors,
                                                const TableLimits& limits) {
  SPANLM_ASSIGN_OR_RETURN(ModelTables tables,
                          MakeModelTables(config, tensors, limits));
  PackedModel model(config, std::move(tables));
  const bool adaptive = config->architecture == Architecture::kAdaptiveSpan;
  const int64_t elements = int64_t{config->vocab_size} * config->d_model;
  SPANLM_ASSIGN_OR_RETURN(
      model.embedding_,
      LoadFloats(tensors,
                 adaptive ? "in_emb.weight" : "word_emb.emb_layers.0.weight",
                 elements));
  if (adaptive) {
    SPANLM_ASSIGN_OR_RETURN(
        model.logits_,
        LoadLinear(tensors, "out_emb", config->vocab_size, config->d_model));
  } else {
    SPANLM_ASSIGN_OR_RETURN(model.logits_,
                            LoadTiedLogits(config, tensors, model.embedding_));
    const auto scale =
        static_cast<float>(std::sqrt(static_cast<double>(config->d_model)));
    for (float& v : model.embedding_) v *= scale;
  }
  for (int32_t i = 0; i < config->n_layer; ++i) {
    SPANLM_ASSIGN_OR_RETURN(PackedLayer layer, LoadLayer(config, tensors, i));
    model.layers_.push_back(std::move(layer));
  }
  return model;
}

}  // namespace spanlm
