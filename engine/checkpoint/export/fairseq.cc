// SPDX-License-Identifier: Apache-2.0
// fairseq's checkpoints of adaptive_span and transformer_xl
// (docs/model-directory.md).
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "engine/checkpoint/export/layouts.h"
#include "engine/checkpoint/export/symbol_order.h"

namespace spanlm {
namespace {

using Value = PickleValue;

constexpr char kPrefix[] = "decoder.model.";
// Of the recipe. eval-lm takes its own from the command line.
constexpr int64_t kTokensPerSample = 512;

absl::Status CheckExpressible(const ModelConfig& config, bool has_output) {
  if (config->architecture == Architecture::kAdaptiveSpan) {
    if (config->renormalize) {
      return absl::FailedPreconditionError(
          "renormalize: true, fairseq's adaptive_span computes false (--format "
          "original holds true)");
    }
    return CheckPublishedWindows(config);
  }
  SPANLM_RETURN_IF_ERROR(CheckZeroMemory(config));
  if (has_output) {
    return absl::FailedPreconditionError(
        "crit.out_layers.0.weight: a tensor of its own, fairseq's "
        "transformer_xl ties it to the embedding (--format huggingface holds "
        "both)");
  }
  return absl::OkStatus();
}

// Fields of AdaptiveSpanSmallConfig. Dropout, the first span and the span
// loss are no part of a model.
Value AdaptiveSpanOptions(const ModelFields& fields) {
  return Value::Dict(
      {Named("_name", Value::Text("adaptive_span")),
       Named("vocab_size", Value::Int(fields.vocab_size)),
       Named("d_model", Value::Int(fields.d_model)),
       Named("n_head", Value::Int(fields.n_head)),
       Named("d_inner", Value::Int(fields.d_inner)),
       Named("n_layer", Value::Int(fields.n_layer)),
       Named("attn_span", Value::Int(fields.attn_span)),
       Named("dropout", Value::Float(0)), Named("emb_dropout", Value::Float(0)),
       Named("adapt_span_ramp", Value::Int(fields.ramp)),
       Named("adapt_span_init", Value::Float(0)),
       Named("aux_loss_scaler", Value::Float(0)),
       Named("adapt_span_layer", Value::Bool(fields.adapt_span_layer))});
}

// Fields of TransformerXLConfig. fairseq drops cutoffs that are not below the
// dictionary's size; none here makes the softmax plain for any of them.
Value TransformerXlOptions(const ModelFields& fields) {
  return Value::Dict(
      {Named("_name", Value::Text("transformer_xl")),
       Named("cutoffs", Value::List({})),
       Named("d_model", Value::Int(fields.d_model)),
       Named("n_head", Value::Int(fields.n_head)),
       Named("d_head", Value::Int(fields.d_head)),
       Named("d_inner", Value::Int(fields.d_inner)),
       Named("div_val", Value::Int(1)),
       Named("n_layer", Value::Int(fields.n_layer)),
       Named("mem_len", Value::Int(fields.mem_len)),
       Named("clamp_len", Value::Int(fields.clamp_len)),
       Named("same_length", Value::Bool(fields.same_length)),
       Named("dropout", Value::Float(0)), Named("dropatt", Value::Float(0)),
       Named("checkpoint_activations", Value::Bool(false)),
       Named("offload_activations", Value::Bool(false)),
       Named("max_target_positions", Value::Int(kTokensPerSample))});
}

// Fields of TruncatedBPTTLMConfig.
Value TaskOptions() {
  return Value::Dict(
      {Named("_name", Value::Text("truncated_bptt_lm")),
       Named("data", Value::Text("data-bin")),
       Named("tokens_per_sample", Value::Int(kTokensPerSample)),
       Named("batch_size", Value::Int(1)),
       Named("max_target_positions", Value::Int(kTokensPerSample)),
       Named("data_parallel_rank", Value::None()),
       Named("data_parallel_size", Value::None())});
}

// The whole checkpoint. Its training state is that of a run which has made no
// update, so fine-tuning starts with a fresh optimizer.
Value CheckpointOf(Value model, const ModelFields& fields) {
  const bool is_span = fields.architecture == Architecture::kAdaptiveSpan;
  const Value history = Value::Dict(
      {Named("criterion_name", Value::Text(is_span ? "AdaptiveSpanCriterion"
                                                   : "CrossEntropyCriterion")),
       Named(
           "optimizer_name",
           Value::Text(is_span ? "FairseqAdagradWithGradClip" : "FairseqAdam")),
       Named("lr_scheduler_state", Value::Dict({Named("best", Value::None())})),
       Named("num_updates", Value::Int(0))});
  const Value iterator = Value::Dict(
      {Named("version", Value::Int(2)), Named("epoch", Value::Int(1)),
       Named("iterations_in_epoch", Value::Int(0)),
       Named("shuffle", Value::Bool(false))});
  return Value::Dict(
      {Named("args", Value::None()),
       Named("cfg", Value::Dict(
                        {Named("_name", Value::None()),
                         Named("model", is_span ? AdaptiveSpanOptions(fields)
                                                : TransformerXlOptions(fields)),
                         Named("task", TaskOptions())})),
       Named("model", std::move(model)), Named("criterion", Value::None()),
       Named("optimizer_history", Value::List({history})),
       Named("task_state", Value::Dict({})),
       Named("extra_state",
             Value::Dict({Named("metrics", Value::OrderedDict({})),
                          Named("previous_training_time", Value::Float(0)),
                          Named("train_iterator", iterator),
                          Named("val_loss", Value::None())})),
       Named("last_optimizer_state", Value::None())});
}

std::string SameName(const std::string& name) { return name; }

}  // namespace

absl::StatusOr<ForeignModel> MakeFairseq(const ModelDir& model) {
  SPANLM_ASSIGN_OR_RETURN(std::vector<FloatTensor> tensors,
                          ReadFloatTensors(model));
  SPANLM_RETURN_IF_ERROR(CheckExpressible(
      model.config(),
      FindTensor(tensors, "crit.out_layers.0.weight") != nullptr));
  RepeatBiases(model.config(), &tensors);
  ModelFields fields = model.config().fields();
  ForeignModel result;
  if (model.config().knows_bytes()) {
    const SymbolOrder order = FairseqOrder(fields);
    ReorderSymbols(order, &tensors);
    fields.vocab_size = static_cast<int32_t>(order.sources.size());
    result.symbols = order.text;
    if (!order.keeps_ids) {
      result.notes.push_back(absl::StrCat(
          "symbols are numbered as dict.txt says, ", fields.vocab_size,
          " with fairseq's specials: binarize texts with fairseq-preprocess "
          "--srcdict dict.txt"));
    }
  } else {
    result.notes.push_back(absl::StrCat(
        "the symbols' bytes are not known, so there is no dict.txt: fairseq "
        "wants the one that the model was trained with, of ",
        fields.vocab_size - 4, " lines"));
  }
  TorchZipWriter file;
  const bool is_span = fields.architecture == Architecture::kAdaptiveSpan;
  Value state = MakeStateDict(tensors, kPrefix,
                              is_span ? SameName : TransformerName, &file);
  tensors.clear();  // the file has a copy
  SPANLM_ASSIGN_OR_RETURN(
      result.checkpoint,
      std::move(file).Finish(CheckpointOf(std::move(state), fields)));
  return result;
}

}  // namespace spanlm
