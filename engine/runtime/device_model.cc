// SPDX-License-Identifier: Apache-2.0
#include "engine/runtime/device_model.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/log_softmax.h>
#include <c10/util/accumulate.h>

#include <cmath>
#include <cstddef>
#include <string>

#include "absl/strings/str_cat.h"
#include "engine/engine.h"
#include "engine/runtime/device_copy.h"

namespace spanlm {
namespace {

// Loads tensors one after the other; the first failure is kept and the rest are
// left undefined.
class WeightLoader {
 public:
  WeightLoader(const TensorSource& tensors, at::Device device)
      : tensors_(tensors), device_(device) {}

  bool Has(const std::string& name) const { return tensors_.Find(name).ok(); }
  at::Tensor Load(const std::string& name, at::IntArrayRef shape) {
    if (!status_.ok()) return at::Tensor();
    const absl::StatusOr<std::vector<float>> values =
        LoadFloats(tensors_, name, c10::multiply_integers(shape));
    status_ = values.status();
    return status_.ok() ? CopyToDevice(*values, shape, device_) : at::Tensor();
  }
  Norm LoadNorm(const std::string& name, int64_t width) {
    return {Load(name + ".weight", {width}), Load(name + ".bias", {width})};
  }
  FeedForward LoadFeedForward(const std::string& first,
                              const std::string& second,
                              const ModelConfig& config) {
    const int64_t width = config->d_model, inner = config->d_inner;
    return {Load(first + ".weight", {inner, width}),
            Load(first + ".bias", {inner}),
            Load(second + ".weight", {width, inner}),
            Load(second + ".bias", {width})};
  }
  const absl::Status& status() const { return status_; }

 private:
  const TensorSource& tensors_;
  const at::Device device_;
  absl::Status status_;
};

DeviceLayer LoadAdaptiveSpanLayer(const ModelConfig& config,
                                  const std::string& prefix,
                                  WeightLoader* loader) {
  const int64_t d = config->d_model;
  const std::string attention = absl::StrCat(prefix, "attn.proj_");
  DeviceLayer layer;
  const at::Tensor query = loader->Load(attention + "query.weight", {d, d});
  const at::Tensor key = loader->Load(attention + "key.weight", {d, d});
  const at::Tensor value = loader->Load(attention + "val.weight", {d, d});
  if (loader->status().ok()) layer.qkv = at::cat({query, key, value});
  layer.out = loader->Load(attention + "out.weight", {d, d});
  layer.attention_norm = loader->LoadNorm(prefix + "norm1", d);
  layer.ff =
      loader->LoadFeedForward(prefix + "ff.fc1", prefix + "ff.fc2", config);
  layer.ff_norm = loader->LoadNorm(prefix + "norm2", d);
  return layer;
}

DeviceLayer LoadTransformerXlLayer(const ModelConfig& config,
                                   const std::string& prefix,
                                   WeightLoader* loader) {
  const int64_t d = config->d_model;
  const std::string attention = absl::StrCat(prefix, "dec_attn.");
  const std::string ff = absl::StrCat(prefix, "pos_ff.");
  DeviceLayer layer;
  layer.qkv = loader->Load(attention + "qkv_net.weight", {3 * d, d});
  layer.out = loader->Load(attention + "o_net.weight", {d, d});
  layer.attention_norm = loader->LoadNorm(attention + "layer_norm", d);
  layer.ff =
      loader->LoadFeedForward(ff + "CoreNet.0", ff + "CoreNet.3", config);
  layer.ff_norm = loader->LoadNorm(ff + "layer_norm", d);
  return layer;
}

// [n_head, d_head], undefined where there is none.
at::Tensor CopyBias(const std::vector<float>& bias, const ModelConfig& config,
                    at::Device device) {
  if (bias.empty()) return at::Tensor();
  return CopyToDevice(bias, {config->n_head, config->d_head}, device);
}

at::Tensor CopyPositionKeys(const PositionTable& table, int32_t head_dim,
                            at::Device device) {
  const int64_t floats = int64_t{table.columns} * head_dim;
  const int64_t tables =
      table.head_stride == 0 ? 1 : table.keys.size() / floats;
  return CopyToDevice({table.keys.data(), static_cast<size_t>(tables * floats)},
                      {tables, table.columns / kBlock, head_dim, kBlock},
                      device);
}

// `position_keys` may be shared between layers.
DeviceTables CopyTables(const ModelConfig& config, const ModelTables& tables,
                        size_t layer, const at::Tensor& position_keys) {
  const at::Device device = position_keys.device();
  const LayerTables& source = tables.layers[layer];
  DeviceTables copy;
  copy.heads = CopyRecordsToDevice(source.heads, device);
  if (!source.mask.empty()) {
    copy.mask = CopyToDevice(
        source.mask, {static_cast<int64_t>(source.mask.size())}, device);
  }
  copy.position_keys = position_keys;
  copy.content_bias = CopyBias(source.content_bias, config, device);
  copy.position_bias = CopyBias(source.position_bias, config, device);
  copy.mask_columns = source.mask_columns;
  copy.position_reach = tables.positions_of(layer).reach;
  copy.min_distance = tables.min_distance;
  copy.renormalize = tables.renormalize;
  copy.empty_start = tables.empty_start;
  copy.scale = tables.scale;
  return copy;
}

}  // namespace

absl::StatusOr<DeviceModel> DeviceModel::Load(const ModelConfig& config,
                                              const TensorSource& tensors,
                                              const ModelTables& tables,
                                              at::Device device) {
  const bool is_adaptive = config->architecture == Architecture::kAdaptiveSpan;
  const int64_t d = config->d_model, vocab = config->vocab_size;
  WeightLoader loader(tensors, device);
  DeviceModel model;
  if (is_adaptive) {
    model.embedding_ = loader.Load("in_emb.weight", {vocab, d});
    model.out_weight_ = loader.Load("out_emb.weight", {vocab, d});
    model.out_bias_ = loader.Load("out_emb.bias", {vocab});
  } else {
    // The output's weight is the embedding, unless the file has another.
    const char* const output = "crit.out_layers.0.weight";
    model.embedding_ = loader.Load("word_emb.emb_layers.0.weight", {vocab, d});
    model.out_weight_ =
        loader.Has(output) ? loader.Load(output, {vocab, d}) : model.embedding_;
    model.out_bias_ = loader.Load("crit.out_layers.0.bias", {vocab});
  }
  for (int32_t i = 0; i < config->n_layer; ++i) {
    const std::string prefix = absl::StrCat("layers.", i, ".");
    model.layers_.push_back(
        is_adaptive ? LoadAdaptiveSpanLayer(config, prefix, &loader)
                    : LoadTransformerXlLayer(config, prefix, &loader));
  }
  if (!loader.status().ok()) return loader.status();
  if (!is_adaptive) {
    model.embedding_ = model.embedding_ * std::sqrt(static_cast<double>(d));
  }
  model.AddTables(config, tables, device);
  return model;
}

void DeviceModel::AddTables(const ModelConfig& config,
                            const ModelTables& tables, at::Device device) {
  std::vector<at::Tensor> position_keys;
  for (const PositionTable& table : tables.positions) {
    position_keys.push_back(CopyPositionKeys(table, config->d_head, device));
  }
  for (size_t i = 0; i < layers_.size(); ++i) {
    layers_[i].tables = CopyTables(
        config, tables, i, position_keys[position_keys.size() == 1 ? 0 : i]);
  }
}

at::Tensor DeviceModel::Step(const DeviceStep& step,
                             const CacheMemory& memory) const {
  at::Tensor h = at::embedding(embedding_, step.symbols);
  const int64_t d = h.size(1);
  for (const DeviceLayer& layer : layers_) {
    const at::Tensor qkv = at::linear(h, layer.qkv);
    const Projections projections = {qkv.narrow(1, 0, d), qkv.narrow(1, d, d),
                                     qkv.narrow(1, 2 * d, d)};
    const at::Tensor attended =
        Attend(step.rows, layer.tables, projections, memory);
    h = LayerNorm(h + at::linear(attended, layer.out), layer.attention_norm,
                  PassOptions{});
    h = LayerNorm(h + Apply(layer.ff, h, PassOptions{}), layer.ff_norm,
                  PassOptions{});
  }
  const at::Tensor wanted = h.index_select(0, step.wanted_rows);
  return at::log_softmax(at::linear(wanted, out_weight_, out_bias_), 1);
}

}  // namespace spanlm
