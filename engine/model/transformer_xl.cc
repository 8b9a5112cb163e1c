// SPDX-License-Identifier: Apache-2.0
#include "engine/model/transformer_xl.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>

#include <cmath>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "engine/attention/dense_attention.h"

namespace spanlm {
namespace {

constexpr double kInitialDeviation = 0.02;
const char kOutput[] = "crit.out_layers.0.weight";

}  // namespace

at::Tensor DistanceTable(int64_t count, int64_t clamp_len,
                         const at::Tensor& frequencies) {
  at::Tensor distances = at::arange(count - 1, -1, -1, frequencies.options());
  if (clamp_len > 0) distances = distances.clamp_max(clamp_len);
  const at::Tensor angles = distances.unsqueeze(1) * frequencies.unsqueeze(0);
  return at::cat({angles.sin(), angles.cos()}, 1);
}

at::Tensor HiddenKeys(int64_t block, int64_t memory_rows, int64_t mem_len,
                      bool same_length) {
  const at::Tensor query =
      at::arange(block, at::TensorOptions().dtype(at::kLong)).unsqueeze(1);
  const at::Tensor key = at::arange(memory_rows + block, query.options());
  const at::Tensor future = key > query + memory_rows;
  if (!same_length) return future;
  return future.logical_or(key <= query - (mem_len - memory_rows));
}

TransformerXl::TransformerXl(const ModelConfig& config, at::ScalarType type,
                             bool has_output)
    : ByteModel(config) {
  const int64_t d = config->d_model, vocab = config->vocab_size;
  if (config->tie_biases) {
    AddParameter("r_w_bias", {config->n_head, config->d_head}, type);
    AddParameter("r_r_bias", {config->n_head, config->d_head}, type);
  }
  embedding_ = AddParameter("word_emb.emb_layers.0.weight", {vocab, d}, type);
  if (has_output) out_weight_ = AddParameter(kOutput, {vocab, d}, type);
  out_bias_ = AddParameter("crit.out_layers.0.bias", {vocab}, type);
  for (int32_t i = 0; i < config->n_layer; ++i) {
    AddLayer(absl::StrCat("layers.", i, "."), type);
  }
  // Single precision, as published files hold them, even in double runs.
  const at::Tensor exponents =
      at::arange(0, d, 2, at::TensorOptions().dtype(at::kFloat)) /
      static_cast<double>(d);
  frequencies_ = AddBuffer(
      "pos_emb.inv_freq",
      at::reciprocal(at::pow(at::Scalar(10000.0), exponents)).to(type));
}

void TransformerXl::AddLayer(const std::string& prefix, at::ScalarType type) {
  const int64_t d = config_->d_model, inner = config_->d_inner;
  const auto add = [&](const char* name, at::IntArrayRef shape) {
    return AddParameter(prefix + name, shape, type);
  };
  Layer layer;
  if (config_->tie_biases) {
    layer.content_bias = parameters_[0].tensor;
    layer.position_bias = parameters_[1].tensor;
  } else {
    const int64_t heads = config_->n_head, dim = config_->d_head;
    layer.content_bias = add("dec_attn.r_w_bias", {heads, dim});
    layer.position_bias = add("dec_attn.r_r_bias", {heads, dim});
  }
  layer.qkv = add("dec_attn.qkv_net.weight", {3 * d, d});
  layer.out = add("dec_attn.o_net.weight", {d, d});
  layer.attention_norm = {add("dec_attn.layer_norm.weight", {d}),
                          add("dec_attn.layer_norm.bias", {d})};
  layer.relative = add("dec_attn.r_net.weight", {d, d});
  layer.ff = {add("pos_ff.CoreNet.0.weight", {inner, d}),
              add("pos_ff.CoreNet.0.bias", {inner}),
              add("pos_ff.CoreNet.3.weight", {d, inner}),
              add("pos_ff.CoreNet.3.bias", {d})};
  layer.ff_norm = {add("pos_ff.layer_norm.weight", {d}),
                   add("pos_ff.layer_norm.bias", {d})};
  layers_.push_back(layer);
}

bool TransformerXl::HasOutput(const TensorSource& source) {
  return source.Find(kOutput).ok();
}

absl::Status TransformerXl::Load(const TensorSource& source) {
  if (!out_weight_.defined() && HasOutput(source)) {
    return absl::FailedPreconditionError(absl::StrCat(
        "tensor ", kOutput, ": the output of this model is its embedding"));
  }
  for (const NamedTensor& parameter : parameters_) {
    SPANLM_RETURN_IF_ERROR(
        LoadFinite(source, parameter.name, parameter.tensor));
  }
  // Stored frequencies may be half-rounded, and then the model wants those.
  const std::string& name = buffers_[0].name;
  if (!source.Find(name).ok()) return absl::OkStatus();
  return LoadFinite(source, name, frequencies_);
}

void TransformerXl::Initialize(Initialization /*initialization*/,
                               at::Generator generator) {
  at::NoGradGuard no_grad;
  for (const NamedTensor& parameter : parameters_) {
    at::Tensor tensor = parameter.tensor;
    const bool is_norm = absl::StrContains(parameter.name, "layer_norm.");
    const bool is_bias = absl::EndsWith(parameter.name, ".bias");
    if (is_bias) {
      tensor.zero_();
    } else {
      tensor.normal_(is_norm ? 1 : 0, kInitialDeviation, generator);
    }
  }
}

ModelMemory TransformerXl::NewMemory(int64_t rows,
                                     const PassOptions& pass) const {
  ModelMemory memory = ByteModel::NewMemory(rows, pass);
  if (config_->memory_start == MemoryStart::kEmpty) return memory;
  for (at::Tensor& layer : memory.layers) {
    layer =
        at::zeros({rows, config_->mem_len, config_->d_model}, layer.options());
  }
  return memory;
}

at::Tensor TransformerXl::Attend(const Layer& layer, const at::Tensor& context,
                                 const at::Tensor& table,
                                 const at::Tensor& hidden,
                                 const PassOptions& pass) const {
  const int64_t rows = context.size(0), keys = context.size(1);
  const int64_t heads = config_->n_head, dim = config_->d_head;
  const int64_t block = hidden.size(0);
  const at::Tensor qkv = Linear(context, layer.qkv, at::Tensor(), pass)
                             .view({rows, keys, 3, heads, dim});
  const at::ScalarType type = context.scalar_type();
  RelativeAttentionInputs inputs;
  inputs.q = qkv.select(2, 0).narrow(1, keys - block, block);
  inputs.k = qkv.select(2, 1);
  inputs.v = qkv.select(2, 2);
  inputs.relative_keys = Linear(table, layer.relative, at::Tensor(), pass)
                             .view({keys, heads, dim});
  inputs.content_bias = layer.content_bias.to(type);
  inputs.position_bias = layer.position_bias.to(type);
  inputs.hidden = hidden;
  inputs.dropout = DropoutFactors({rows, heads, block, keys},
                                  context.options().requires_grad(false),
                                  pass.dropout.attention, pass);
  return Dropout(Linear(ToCompute(RelativeAttention(inputs), pass), layer.out,
                        at::Tensor(), pass),
                 pass.dropout.activation, pass);
}

at::Tensor TransformerXl::Forward(const at::Tensor& tokens,
                                  const PassOptions& pass,
                                  ModelMemory* memory) const {
  const int64_t block = tokens.size(1);
  const int64_t memory_rows = memory->layers.front().size(1);
  const double rate = pass.dropout.activation;
  const double embedding_scale =
      std::sqrt(static_cast<double>(config_->d_model));
  at::Tensor h =
      Dropout(at::embedding(embedding_, tokens) * embedding_scale, rate, pass);
  const at::Tensor table = Dropout(
      ToCompute(
          DistanceTable(memory_rows + block, config_->clamp_len, frequencies_),
          pass),
      rate, pass);
  const at::Tensor hidden =
      HiddenKeys(block, memory_rows, config_->mem_len, config_->same_length)
          .to(h.device());
  for (size_t i = 0; i < layers_.size(); ++i) {
    const Layer& layer = layers_[i];
    const at::Tensor x = ToCompute(h, pass);
    const at::Tensor context = at::cat({memory->layers[i], x}, 1);
    memory->layers[i] = KeepLastRows(memory->layers[i], x, config_->mem_len);
    h = LayerNorm(h + Attend(layer, context, table, hidden, pass),
                  layer.attention_norm, pass);
    h = LayerNorm(h + Dropout(Apply(layer.ff, h, pass), rate, pass),
                  layer.ff_norm, pass);
  }
  h = Dropout(h, rate, pass);
  return Linear(ToCompute(h, pass),
                out_weight_.defined() ? out_weight_ : embedding_, out_bias_,
                pass)
      .to(embedding_.scalar_type());
}

}  // namespace spanlm
