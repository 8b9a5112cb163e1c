// SPDX-License-Identifier: Apache-2.0
#include "engine/checkpoint/model_tensors.h"

#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace spanlm {
namespace {

// Collects specs; names are given without the layer's prefix.
class SpecList {
 public:
  void EnterLayer(int32_t layer) {
    prefix_ = absl::StrCat("layers.", layer, ".");
  }
  void LeaveLayers() { prefix_.clear(); }

  void Add(absl::string_view name, std::vector<int64_t> shape) {
    specs_.push_back({absl::StrCat(prefix_, name), std::move(shape)});
  }
  void AddOptional(absl::string_view name, std::vector<int64_t> shape) {
    Add(name, std::move(shape));
    specs_.back().is_optional = true;
  }
  void AddBuffer(absl::string_view name, std::vector<int64_t> shape) {
    AddOptional(name, std::move(shape));
    specs_.back().is_buffer = true;
  }
  // A layer norm.
  void AddNorm(absl::string_view name, int64_t width) {
    Add(absl::StrCat(name, ".weight"), {width});
    Add(absl::StrCat(name, ".bias"), {width});
  }
  // A linear map with bias, weight [to, from].
  void AddLinear(absl::string_view name, int64_t to, int64_t from) {
    Add(absl::StrCat(name, ".weight"), {to, from});
    Add(absl::StrCat(name, ".bias"), {to});
  }

  std::vector<TensorSpec> Take() { return std::move(specs_); }

 private:
  std::string prefix_;
  std::vector<TensorSpec> specs_;
};

std::vector<TensorSpec> AdaptiveSpanTensors(const ModelConfig& config) {
  const int64_t d = config->d_model;
  SpecList list;
  list.Add("key_pe", {1, config->d_head, config->attn_span});
  list.Add("in_emb.weight", {config->vocab_size, d});
  for (int32_t layer = 0; layer < config->n_layer; ++layer) {
    list.EnterLayer(layer);
    list.Add("attn.attn.adaptive_span._mask.current_val",
             config->adapt_span_layer
                 ? std::vector<int64_t>{1}
                 : std::vector<int64_t>{config->n_head, 1, 1});
    list.AddBuffer("attn.attn.adaptive_span._mask.mask_template",
                   {config->attn_span});
    for (const char* name : {"query", "out", "val", "key"}) {
      list.Add(absl::StrCat("attn.proj_", name, ".weight"), {d, d});
    }
    list.AddNorm("norm1", d);
    list.AddLinear("ff.fc1", config->d_inner, d);
    list.AddLinear("ff.fc2", d, config->d_inner);
    list.AddNorm("norm2", d);
  }
  list.LeaveLayers();
  list.AddLinear("out_emb", config->vocab_size, d);
  return list.Take();
}

std::vector<TensorSpec> TransformerXlTensors(const ModelConfig& config) {
  const int64_t d = config->d_model;
  const std::vector<int64_t> bias_shape = {config->n_head, config->d_head};
  SpecList list;
  list.Add("word_emb.emb_layers.0.weight", {config->vocab_size, d});
  if (config->tie_biases) {
    list.Add("r_w_bias", bias_shape);
    list.Add("r_r_bias", bias_shape);
  }
  list.AddBuffer("pos_emb.inv_freq", {d / 2});
  for (int32_t layer = 0; layer < config->n_layer; ++layer) {
    list.EnterLayer(layer);
    if (!config->tie_biases) {
      list.Add("dec_attn.r_w_bias", bias_shape);
      list.Add("dec_attn.r_r_bias", bias_shape);
    }
    list.Add("dec_attn.qkv_net.weight", {3 * d, d});
    list.Add("dec_attn.r_net.weight", {d, d});
    list.Add("dec_attn.o_net.weight", {d, d});
    list.AddNorm("dec_attn.layer_norm", d);
    list.AddLinear("pos_ff.CoreNet.0", config->d_inner, d);
    list.AddLinear("pos_ff.CoreNet.3", d, config->d_inner);
    list.AddNorm("pos_ff.layer_norm", d);
  }
  list.LeaveLayers();
  list.AddOptional("crit.out_layers.0.weight", {config->vocab_size, d});
  list.Add("crit.out_layers.0.bias", {config->vocab_size});
  return list.Take();
}

std::string ShapeText(const std::vector<int64_t>& shape) {
  return absl::StrCat("[", absl::StrJoin(shape, ", "), "]");
}

bool IsFloating(DType dtype) {
  return dtype == DType::kF16 || dtype == DType::kBF16 ||
         dtype == DType::kF32 || dtype == DType::kF64;
}

absl::Status CheckTensor(const TensorSpec& spec, const TensorView& tensor) {
  if (tensor.shape != spec.shape) {
    return absl::DataLossError(absl::StrCat("tensor ", spec.name, " has shape ",
                                            ShapeText(tensor.shape), ", want ",
                                            ShapeText(spec.shape)));
  }
  if (!IsFloating(tensor.dtype)) {
    return absl::DataLossError(absl::StrCat("tensor ", spec.name, " is ",
                                            Name(tensor.dtype),
                                            ", want F16, BF16, F32 or F64"));
  }
  return absl::OkStatus();
}

}  // namespace

std::vector<TensorSpec> TensorsOf(const ModelConfig& config) {
  return config->architecture == Architecture::kAdaptiveSpan
             ? AdaptiveSpanTensors(config)
             : TransformerXlTensors(config);
}

absl::StatusOr<int64_t> CountParameters(const ModelConfig& config,
                                        absl::Span<const TensorView> tensors) {
  std::map<absl::string_view, const TensorView*> rest;
  for (const TensorView& tensor : tensors) rest[tensor.name] = &tensor;
  int64_t parameters = 0;
  for (const TensorSpec& spec : TensorsOf(config)) {
    const auto tensor = rest.find(spec.name);
    if (tensor == rest.end()) {
      if (spec.is_optional) continue;
      return absl::DataLossError(
          absl::StrCat("tensor ", spec.name, " is missing"));
    }
    const absl::Status status = CheckTensor(spec, *tensor->second);
    if (!status.ok()) return status;
    if (!spec.is_buffer) parameters += tensor->second->element_count();
    rest.erase(tensor);
  }
  if (!rest.empty()) {
    return absl::DataLossError(absl::StrCat("tensor ", rest.begin()->first,
                                            " is not part of ",
                                            Name(config->architecture)));
  }
  return parameters;
}

}  // namespace spanlm
