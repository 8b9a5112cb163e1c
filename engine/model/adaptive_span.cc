// SPDX-License-Identifier: Apache-2.0
#include "engine/model/adaptive_span.h"

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

const char kMaskTemplate[] = "attn.attn.adaptive_span._mask.mask_template";

// What Load finds stored replaces the exact template: fairseq's half runs
// trained with a rounded one.
bool IsStored(const TensorSource& source, const std::string& name) {
  return source.Find(name).ok();
}

void FillUniform(at::Tensor tensor, double bound, at::Generator generator) {
  tensor.uniform_(-bound, bound, generator);
}

void InitializeNorm(const Norm& norm) {
  at::Tensor(norm.weight).fill_(1);
  at::Tensor(norm.bias).zero_();
}

// `memory`'s last `count` rows, with rows of zeros in front where it is
// shorter: projections have no bias, so their keys and values are zero too.
at::Tensor LastRows(const at::Tensor& memory, int64_t count) {
  const int64_t rows = memory.size(1);
  if (rows >= count) return memory.narrow(1, rows - count, count);
  const at::Tensor zeros = at::zeros(
      {memory.size(0), count - rows, memory.size(2)}, memory.options());
  return at::cat({zeros, memory}, 1);
}

}  // namespace

bool IsSpan(absl::string_view name) {
  return absl::EndsWith(name, "current_val");
}

AdaptiveSpan::AdaptiveSpan(const ModelConfig& config, at::ScalarType type)
    : ByteModel(config) {
  geometry_ = {config->attn_span, config->ramp, config->block_rounding};
  const int64_t d = config->d_model, vocab = config->vocab_size;
  position_keys_ =
      AddParameter("key_pe", {1, config->d_head, config->attn_span}, type);
  embedding_ = AddParameter("in_emb.weight", {vocab, d}, type);
  out_weight_ = AddParameter("out_emb.weight", {vocab, d}, type);
  out_bias_ = AddParameter("out_emb.bias", {vocab}, type);
  for (int32_t i = 0; i < config->n_layer; ++i) {
    AddLayer(absl::StrCat("layers.", i, "."), type);
  }
}

void AdaptiveSpan::AddLayer(const std::string& prefix, at::ScalarType type) {
  const int64_t d = config_->d_model, inner = config_->d_inner;
  const auto add = [&](const char* name, at::IntArrayRef shape) {
    return AddParameter(prefix + name, shape, type);
  };
  Layer layer;
  layer.spans = config_->adapt_span_layer
                    ? add("attn.attn.adaptive_span._mask.current_val", {1})
                    : add("attn.attn.adaptive_span._mask.current_val",
                          {config_->n_head, 1, 1});
  layer.query = add("attn.proj_query.weight", {d, d});
  layer.out = add("attn.proj_out.weight", {d, d});
  layer.value = add("attn.proj_val.weight", {d, d});
  layer.key = add("attn.proj_key.weight", {d, d});
  layer.norm1 = {add("norm1.weight", {d}), add("norm1.bias", {d})};
  layer.ff = {add("ff.fc1.weight", {inner, d}), add("ff.fc1.bias", {inner}),
              add("ff.fc2.weight", {d, inner}), add("ff.fc2.bias", {d})};
  layer.norm2 = {add("norm2.weight", {d}), add("norm2.bias", {d})};
  layer.mask_template = ExactMaskTemplate(config_->attn_span, type);
  layers_.push_back(layer);
}

absl::Status AdaptiveSpan::Load(const TensorSource& source) {
  for (const NamedTensor& parameter : parameters_) {
    SPANLM_RETURN_IF_ERROR(
        LoadFinite(source, parameter.name, parameter.tensor));
  }
  buffers_.clear();
  for (size_t i = 0; i < layers_.size(); ++i) {
    const std::string name = absl::StrCat("layers.", i, ".", kMaskTemplate);
    if (!IsStored(source, name)) continue;
    SPANLM_RETURN_IF_ERROR(LoadFinite(source, name, layers_[i].mask_template));
    AddBuffer(name, layers_[i].mask_template);
  }
  ClampSpans();
  return absl::OkStatus();
}

void AdaptiveSpan::Initialize(Initialization initialization,
                              at::Generator generator) {
  at::NoGradGuard no_grad;
  const bool is_fairseq = initialization == Initialization::kFairseq;
  const auto d = static_cast<double>(config_->d_model);
  const auto inner = static_cast<double>(config_->d_inner);
  position_keys_.normal_(0, 1, generator);
  embedding_.normal_(0, is_fairseq ? 1 / std::sqrt(d) : 1, generator);
  FillUniform(out_weight_, 1 / std::sqrt(d), generator);
  FillUniform(out_bias_, 1 / std::sqrt(d), generator);
  for (Layer& layer : layers_) {
    for (const at::Tensor& weight :
         {layer.query, layer.key, layer.value, layer.out}) {
      if (is_fairseq) {  // Glorot's, normal: sqrt(2 / (d + d))
        at::Tensor(weight).normal_(0, 1 / std::sqrt(d), generator);
      } else {
        FillUniform(weight, 1 / std::sqrt(d), generator);
      }
    }
    const double glorot = std::sqrt(6 / (d + inner));
    FillUniform(layer.ff.weight1, is_fairseq ? glorot : 1 / std::sqrt(d),
                generator);
    FillUniform(layer.ff.bias1, 1 / std::sqrt(d), generator);
    FillUniform(layer.ff.weight2, is_fairseq ? glorot : 1 / std::sqrt(inner),
                generator);
    FillUniform(layer.ff.bias2, 1 / std::sqrt(inner), generator);
    InitializeNorm(layer.norm1);
    InitializeNorm(layer.norm2);
    layer.spans.zero_();
  }
}

void AdaptiveSpan::SetSpans(double fraction) {
  at::NoGradGuard no_grad;
  for (Layer& layer : layers_) layer.spans.fill_(fraction);
}

void AdaptiveSpan::RoundMaskTemplate() {
  at::NoGradGuard no_grad;
  buffers_.clear();
  for (size_t i = 0; i < layers_.size(); ++i) {
    at::Tensor& mask_template = layers_[i].mask_template;
    mask_template.copy_(mask_template.to(at::kHalf));
    AddBuffer(absl::StrCat("layers.", i, ".", kMaskTemplate), mask_template);
  }
}

LayerWindow AdaptiveSpan::WindowOf(const Layer& layer) const {
  const at::Tensor spans =
      layer.spans.detach().to(at::kCPU, at::kFloat).contiguous();
  return WindowOfLayer(
      {spans.const_data_ptr<float>(), static_cast<size_t>(spans.numel())},
      geometry_);
}

std::vector<LayerWindow> AdaptiveSpan::windows() const {
  std::vector<LayerWindow> windows;
  for (const Layer& layer : layers_) windows.push_back(WindowOf(layer));
  return windows;
}

at::Tensor AdaptiveSpan::SpanSum() const {
  at::Tensor sum;
  for (const Layer& layer : layers_) {
    const at::Tensor mean = layer.spans.mean();
    sum = sum.defined() ? sum + mean : mean;
  }
  return sum * static_cast<double>(config_->attn_span);
}

void AdaptiveSpan::ClampSpans() {
  at::NoGradGuard no_grad;
  for (Layer& layer : layers_) layer.spans.clamp_(0, 1);
}

at::Tensor AdaptiveSpan::Attend(const Layer& layer, const at::Tensor& x,
                                const at::Tensor& context, int64_t window,
                                const PassOptions& pass) const {
  const int64_t d = config_->d_model, heads = config_->n_head;
  const int64_t skipped = config_->attn_span - window;
  // One product for keys and values: they share the context.
  const at::Tensor key_value =
      Linear(context, at::cat({layer.key, layer.value}, 0), at::Tensor(), pass);
  SpanAttentionInputs inputs;
  inputs.q = Linear(x, layer.query, at::Tensor(), pass);
  inputs.k = key_value.narrow(2, 0, d);
  inputs.v = key_value.narrow(2, d, d);
  inputs.position_keys = position_keys_.squeeze(0).narrow(1, skipped, window);
  inputs.spans = layer.spans.view({-1}).expand({heads});
  inputs.mask_template =
      layer.mask_template.narrow(0, skipped, window).to(x.device());
  inputs.dropout = DropoutFactors(
      {x.size(0) * heads, x.size(1), window + x.size(1)},
      x.options().requires_grad(false), pass.dropout.activation, pass);
  inputs.geometry = geometry_;
  inputs.renormalize = config_->renormalize;
  return Linear(ToCompute(SpanAttention(inputs), pass), layer.out, at::Tensor(),
                pass);
}

at::Tensor AdaptiveSpan::Forward(const at::Tensor& tokens,
                                 const PassOptions& pass,
                                 ModelMemory* memory) const {
  at::Tensor h =
      Dropout(at::embedding(embedding_, tokens), pass.dropout.embedding, pass);
  for (size_t i = 0; i < layers_.size(); ++i) {
    const Layer& layer = layers_[i];
    const LayerWindow extent = WindowOf(layer);
    const at::Tensor x = ToCompute(h, pass);
    const at::Tensor context =
        at::cat({LastRows(memory->layers[i], extent.window), x}, 1);
    memory->layers[i] = KeepLastRows(memory->layers[i], x, extent.cache_rows);
    const at::Tensor attended = Attend(layer, x, context, extent.window, pass);
    const at::Tensor middle = LayerNorm(h + attended, layer.norm1, pass);
    h = LayerNorm(middle + Apply(layer.ff, middle, pass), layer.norm2, pass);
  }
  h = Dropout(h, pass.dropout.embedding, pass);
  return Linear(ToCompute(h, pass), out_weight_, out_bias_, pass)
      .to(embedding_.scalar_type());
}

}  // namespace spanlm
