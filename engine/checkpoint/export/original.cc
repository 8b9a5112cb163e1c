// SPDX-License-Identifier: Apache-2.0
// Checkpoints of the published Adaptive-Span code (docs/model-directory.md).
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"
#include "engine/checkpoint/export/layouts.h"

namespace spanlm {
namespace {

using Value = PickleValue;

constexpr uint8_t kLineFeed = 10;
// The optimizer of every published run.
constexpr double kLearningRate = 0.07;
constexpr double kGradientClip = 0.03;

absl::Status CheckExpressible(const ModelConfig& config) {
  if (config->architecture != Architecture::kAdaptiveSpan) {
    return absl::FailedPreconditionError(absl::StrCat(
        "architecture: ", Name(config->architecture),
        ", the original code is adaptive_span alone (--format fairseq and "
        "huggingface hold Transformer-XL)"));
  }
  if (!config->renormalize) {
    return absl::FailedPreconditionError(
        "renormalize: false, the original code computes true (--format fairseq "
        "holds false)");
  }
  if (config->adapt_span_layer) {
    return absl::FailedPreconditionError(
        "adapt_span_layer: true, the original code has a span for each head");
  }
  return CheckPublishedWindows(config);
}

// The beginning of a training text that makes the original code number the
// symbols as the model does: by first appearance, each line's end being byte
// 10. Empty where no text does: a symbol without a byte, or none for the end
// of a line.
std::string VocabularyText(const ModelFields& fields) {
  const auto& symbols = fields.symbols;
  if (std::count(symbols.begin(), symbols.end(), kLineFeed) != 1) return "";
  std::string text;
  absl::string_view separator;
  for (const auto& symbol : symbols) {
    if (!symbol.has_value()) return "";
    if (*symbol == kLineFeed) {
      text += '\n';
      separator = "";
      continue;
    }
    absl::StrAppend(&text, separator, int{*symbol});
    separator = " ";
  }
  return text.back() == '\n' ? text : text + '\n';
}

// Adagrad's state before its first update: the published loader insists on one
// and trains on from it.
Value FreshOptimizer(const std::vector<FloatTensor>& tensors,
                     TorchZipWriter* file) {
  std::vector<PickleEntry> states;
  std::vector<Value> indices;
  for (const FloatTensor& tensor : tensors) {
    if (tensor.is_buffer) continue;
    const Value index = Value::Int(static_cast<int64_t>(indices.size()));
    const std::vector<float> zeros(tensor.values.size(), 0.0F);
    states.push_back(
        {index,
         Value::Dict({Named("step", Value::Int(0)),
                      Named("sum", file->AddTensor(tensor.shape, zeros))})});
    indices.push_back(index);
  }
  const Value group = Value::Dict(
      {Named("lr", Value::Float(kLearningRate)),
       Named("lr_decay", Value::Int(0)), Named("eps", Value::Float(1e-10)),
       Named("weight_decay", Value::Int(0)),
       Named("initial_accumulator_value", Value::Int(0)),
       Named("grad_clip", Value::Float(kGradientClip)),
       Named("initial_lr", Value::Float(kLearningRate)),
       Named("params", Value::List(indices))});
  return Value::Dict({Named("state", Value::Dict(states)),
                      Named("param_groups", Value::List({group}))});
}

// The parameters of the published module in the order in which it makes them,
// which is how its optimizer counts them.
int RankOf(const std::string& name) {
  if (name == "key_pe") return 0;
  if (name == "in_emb.weight") return 1;
  if (name == "out_emb.weight") return 2;
  if (name == "out_emb.bias") return 3;
  return 4;
}

std::string SameName(const std::string& name) { return name; }

}  // namespace

absl::StatusOr<ForeignModel> MakeOriginal(const ModelDir& model) {
  const ModelConfig& config = model.config();
  SPANLM_RETURN_IF_ERROR(CheckExpressible(config));
  SPANLM_ASSIGN_OR_RETURN(std::vector<FloatTensor> tensors,
                          ReadFloatTensors(model));
  std::stable_sort(tensors.begin(), tensors.end(),
                   [](const FloatTensor& a, const FloatTensor& b) {
                     return RankOf(a.name) < RankOf(b.name);
                   });
  TorchZipWriter file;
  Value state = MakeStateDict(tensors, "module.", SameName, &file);
  Value optimizer = FreshOptimizer(tensors, &file);
  tensors.clear();  // the file has a copy
  // The iteration that the run has finished: the next one is number 0.
  const Value checkpoint = Value::Dict(
      {Named("iter_no", Value::Int(-1)), Named("model", std::move(state)),
       Named("logger", Value::Dict({})),
       Named("optimizer", std::move(optimizer))});
  ForeignModel result;
  SPANLM_ASSIGN_OR_RETURN(result.checkpoint,
                          std::move(file).Finish(checkpoint));
  result.notes.push_back(absl::StrCat(
      "the file holds no hyperparameters: main.py takes --nlayers ",
      config->n_layer, " --hid-sz ", config->d_model, " --inner-hid-sz ",
      config->d_inner, " --nheads ", config->n_head, " --attn-span ",
      config->attn_span, " --adapt-span --adapt-span-cache --adapt-span-ramp ",
      config->ramp));
  if (!config.knows_bytes()) {
    result.notes.push_back(
        "the symbols' bytes are not known, so there is no vocab.txt: use the "
        "training text that fixed their order");
    return result;
  }
  result.symbols = VocabularyText(config.fields());
  result.notes.push_back(
      result.symbols.empty()
          ? "not every symbol is a byte and one the end of a line, so there is "
            "no vocab.txt: no text makes main.py number symbols so"
          : "main.py numbers symbols by first appearance in train.txt: put "
            "vocab.txt at its head");
  return result;
}

}  // namespace spanlm
