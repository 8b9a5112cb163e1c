// SPDX-License-Identifier: Apache-2.0
#include "train/commands/train_flags.h"

#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "train/inert_flags.h"

namespace spanlm {
namespace {

using Names = std::vector<std::string>;

// Reads "(0.9, 0.999)", brackets optional.
absl::Status ParseBetas(const std::string& text, OptimizerOptions* options) {
  char rest = 0;
  const char* format =
      text.rfind('(', 0) == 0 ? "( %lf , %lf ) %c" : "%lf , %lf %c";
  if (std::sscanf(text.c_str(), format, &options->beta1, &options->beta2,
                  &rest) == 2) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "--adam-betas is ", text, ", want two numbers as in \"(0.9, 0.999)\""));
}

absl::Status CheckCriterion(const TrainFlags& flags) {
  if (flags.criterion.empty()) return absl::OkStatus();
  const char* const wanted =
      flags.arch == "adaptive_span" ? "adaptive_span_loss" : "cross_entropy";
  if (flags.criterion == wanted) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("--criterion is ", flags.criterion, ", want ", wanted,
                   " for --arch ", flags.arch));
}

absl::Status ResolveModel(const TrainFlags& flags, ModelFields* model) {
  model->architecture = flags.arch == "adaptive_span"
                            ? Architecture::kAdaptiveSpan
                            : Architecture::kTransformerXl;
  if (model->n_head < 1 || model->d_model % model->n_head != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("--n-head is ", model->n_head,
                     ", want a divisor of --d-model ", model->d_model));
  }
  model->d_head = model->d_model / model->n_head;
  if (flags.d_head != 0 && flags.d_head != model->d_head) {
    return absl::InvalidArgumentError(
        absl::StrCat("--d-head is ", flags.d_head,
                     ", want --d-model / --n-head = ", model->d_head));
  }
  const bool is_fairseq = flags.semantics == "fairseq";
  if (model->architecture == Architecture::kAdaptiveSpan) {
    model->mem_len = 0;
    model->clamp_len = -1;
    model->same_length = ModelFields().same_length;
    model->renormalize =
        flags.mask.empty() ? !is_fairseq : flags.mask == "renormalized";
  } else {
    model->attn_span = 0;
    model->ramp = ModelFields().ramp;
    model->same_length = flags.same_length;
    model->tie_biases =
        flags.biases.empty() ? !is_fairseq : flags.biases == "tied";
    const bool is_zero =
        flags.memory_start.empty() ? is_fairseq : flags.memory_start == "zero";
    model->memory_start = is_zero ? MemoryStart::kZero : MemoryStart::kEmpty;
  }
  return absl::OkStatus();
}

// Sets `*field` to one of two values where the flag was given.
template <typename T>
void Choose(const std::string& flag, const char* name, T value, T other,
            T* field) {
  if (!flag.empty()) *field = flag == name ? value : other;
}

Semantics ResolveSemantics(const TrainFlags& flags, SemanticsKind kind) {
  Semantics semantics = SemanticsOf(kind);
  Choose(flags.block_ends, "scored", RowLayout::kSlices, RowLayout::kBlocks,
         &semantics.layout);
  Choose(flags.validation_memory, "shared", true, false,
         &semantics.shares_memory);
  Choose(flags.span_clamp, "step", SpanClamp::kAfterStep,
         SpanClamp::kBeforeForward, &semantics.span_clamp);
  Choose(flags.mask_template, "half", true, false,
         &semantics.rounds_mask_template);
  Choose(flags.initialization, "original", Initialization::kOriginal,
         Initialization::kFairseq, &semantics.initialization);
  Choose(flags.adam_eps_place, "after", AdamEps::kAfterCorrection,
         AdamEps::kBeforeCorrection, &semantics.adam_eps);
  Choose(flags.log_losses, "fairseq", true, false, &semantics.fairseq_losses);
  return semantics;
}

absl::Status ResolvePrecision(const TrainFlags& flags, Precision* precision) {
  std::string name = flags.precision;
  for (const auto& [given, type] :
       {std::pair(flags.fp16, "fp16"), {flags.bf16, "bf16"}}) {
    if (!given) continue;
    if (name != "fp32" && name != type) {
      return absl::InvalidArgumentError(
          absl::StrCat("--", type, " and --precision ", name, " or --", name,
                       ": want one precision"));
    }
    name = type;
  }
  *precision = name == "fp16"   ? Precision::kHalf
               : name == "bf16" ? Precision::kBf16
                                : Precision::kFull;
  return absl::OkStatus();
}

void AddModelFlags(CLI::App* command, TrainFlags* flags) {
  ModelFields& model = flags->options.model;
  DropoutRates& dropout = flags->options.dropout;
  model.n_layer = 8;
  model.d_model = 256;
  model.n_head = 4;
  model.d_inner = 1024;
  model.attn_span = 1024;
  model.mem_len = 512;
  command->add_option("--arch", flags->arch, "what to train")
      ->check(CLI::IsMember({"adaptive_span", "transformer_xl"}))
      ->capture_default_str();
  const auto add = [command](const char* name, auto& value, const char* help) {
    command->add_option(name, value, help)->capture_default_str();
  };
  add("--n-layer", model.n_layer, "layers");
  add("--d-model", model.d_model, "width of the residual stream");
  add("--n-head", model.n_head, "heads of a layer");
  command->add_option("--d-head", flags->d_head,
                      "width of a head; must be --d-model / --n-head");
  add("--d-inner", model.d_inner, "width of the feed-forward");
  add("--attn-span", model.attn_span, "adaptive_span: largest span, positions");
  add("--adapt-span-ramp", model.ramp,
      "adaptive_span: positions over which the mask falls");
  add("--adapt-span-init", flags->options.adapt_span_init,
      "adaptive_span: spans at the start, a fraction of --attn-span");
  add("--aux-loss-scaler", flags->options.aux_loss_scaler,
      "adaptive_span: weight of the spans in the loss");
  command->add_flag("--adapt-span-layer", model.adapt_span_layer,
                    "adaptive_span: one span a layer instead of one a head");
  add("--mem-len", model.mem_len, "transformer_xl: positions remembered");
  add("--clamp-len", model.clamp_len,
      "transformer_xl: largest distance told apart, -1: none");
  command->add_flag("--same-length", flags->same_length,
                    "transformer_xl: every symbol sees --mem-len positions");
  add("--dropout", dropout.activation, "dropout of activations");
  add("--dropatt", dropout.attention,
      "transformer_xl: dropout of attention weights");
  add("--emb-dropout", dropout.embedding, "adaptive_span: of embeddings");
}

void AddRecipeFlags(CLI::App* command, TrainFlags* flags) {
  TrainOptions& options = flags->options;
  const auto add = [command](const char* name, auto& value, const char* help) {
    return command->add_option(name, value, help)->capture_default_str();
  };
  add("--tokens-per-sample", options.tokens_per_sample, "symbols of a block");
  add("--batch-size", options.batch_size,
      "rows read side by side by each process");
  add("--update-freq", options.update_freq,
      "consecutive batches of an update, their gradients averaged");
  add("--optimizer", flags->optimizer, "how parameters are moved")
      ->check(CLI::IsMember({"adagrad_with_grad_clip", "adam"}));
  add("--adagrad-clip", options.optimizer.adagrad_clip,
      "adagrad: bound of each tensor's gradient norm, 0: none");
  add("--adam-betas", flags->adam_betas, "adam: decay of the two moments");
  add("--adam-eps", options.optimizer.adam_eps, "adam: added to the root");
  add("--clip-norm", options.optimizer.clip_norm,
      "adam: bound of the gradient's norm, of each span's on its own; 0: none");
  add("--weight-decay", options.optimizer.weight_decay,
      "adam: decoupled decay of matrices");
  add("--lr", options.schedule.lr, "learning rate; of several the last counts");
  add("--lr-scheduler", flags->lr_scheduler, "how the rate changes")
      ->check(CLI::IsMember({"fixed", "cosine"}));
  add("--warmup-updates", options.schedule.warmup_updates,
      "updates over which the rate rises");
  add("--max-update", options.schedule.max_update,
      "updates after which to end, 0: no limit");
  add("--max-epoch", options.max_epoch,
      "passes over the text after which to end, 0: no limit");
  add("--max-seconds", options.schedule.max_seconds,
      "seconds after which to end, earlier runs included, 0: no limit; also "
      "the cosine's period");
  add("--stop-time-hours", options.stop_time_hours,
      "hours after which to end, earlier runs included, 0: no limit");
  add("--patience", options.patience,
      "validations without a better one after which to end, 0: no limit");
  add("--fp16-init-scale", options.scaler.initial_scale,
      "fp16: loss scale at the start");
  add("--fp16-scale-window", options.scaler.window,
      "fp16: clean updates after which the loss scale doubles, 0: 2^14 / "
      "processes / --update-freq");
  add("--min-loss-scale", options.scaler.min_scale,
      "fp16: loss scale at which to give up");
  command->add_option("--criterion", flags->criterion,
                      "adaptive_span_loss or cross_entropy, as --arch has it");
  command->add_option("--task", flags->task, "the only one")
      ->check(CLI::IsMember({"truncated_bptt_lm"}))
      ->capture_default_str();
  add("--seed", options.seed, "of initial values, dropout and pass offsets");
}

void AddRunFlags(CLI::App* command, TrainFlags* flags) {
  TrainOptions& options = flags->options;
  const auto add = [command](const char* name, auto& value, const char* help) {
    return command->add_option(name, value, help)->capture_default_str();
  };
  command
      ->add_option("--data,DATA", options.data,
                   "a folder that `spanlm-train preprocess` wrote")
      ->type_name("DIR");
  add("--save-dir", options.save_dir, "where models and train.jsonl go");
  add("--restore-file", options.restore_file,
      "go on from this model directory, a path or a name in --save-dir");
  add("--log-interval", options.log_interval, "updates between log lines");
  add("--log-format", flags->log_format, "lines on stdout")
      ->check(CLI::IsMember({"json", "none"}));
  add("--validate-interval-updates", options.validate_interval_updates,
      "updates between validations, 0: at ends of passes only");
  add("--save-interval-updates", options.save_interval_updates,
      "updates between saves, 0: at ends of passes only");
  add("--valid-bytes", options.valid_bytes,
      "how much of the valid part to read, 0: all");
  add("--validate-interval", options.validate_interval,
      "passes between validations");
  add("--save-interval", options.save_interval, "passes between saves");
  add("--keep-last-epochs", options.keep_last_epochs,
      "how many of checkpoint<epoch> to keep, below 1: all");
  add("--keep-interval-updates", options.keep_interval_updates,
      "how many of checkpoint_<epoch>_<update> to keep, below 1: all");
  command->add_flag("--no-epoch-checkpoints", flags->no_epoch_checkpoints,
                    "write no checkpoint<epoch>");
  command->add_option("--finetune-from-model", options.finetune_from_model,
                      "a model directory whose weights a new run starts with");
  add("--precision", flags->precision,
      "of products; fp16: of what operators hand on")
      ->check(CLI::IsMember({"fp32", "bf16", "fp16"}));
  command->add_flag("--fp16", flags->fp16, "--precision fp16");
  command->add_flag("--bf16", flags->bf16, "--precision bf16");
  add("--device", flags->device,
      "where to compute; cuda: the GPU that LOCAL_RANK names, or the first")
      ->check(CLI::IsMember({"cpu", "cuda"}));
  add("--metrics-listen", options.metrics_listen,
      "host:port of Prometheus metrics, port 0: any; none by default");
  add("--threads", options.threads, "0: one for each core allowed");
}

// The points in which the published codes differ; unset: as --semantics says.
void AddSemanticsFlags(CLI::App* command, TrainFlags* flags) {
  command
      ->add_option("--semantics", flags->semantics,
                   "whose code to compute as; sets those below")
      ->check(CLI::IsMember({"original", "fairseq"}))
      ->capture_default_str();
  const auto add = [command](const char* name, std::string& value,
                             const Names& names, const char* help) {
    command->add_option(name, value, help)->check(CLI::IsMember(names));
  };
  add("--block-ends", flags->block_ends, {"scored", "unscored"},
      "whether a block's last symbol has a target; unscored reads rows of "
      "whole "
      "blocks");
  add("--validation-memory", flags->validation_memory, {"own", "shared"},
      "shared: validation goes on from training's memory, and back");
  add("--mask", flags->mask, {"renormalized", "plain"},
      "adaptive_span: whether masked weights are divided by their sum");
  add("--mask-template", flags->mask_template, {"exact", "half"},
      "adaptive_span, fp16: half is up to 2 positions off");
  add("--span-clamp", flags->span_clamp, {"step", "forward"},
      "adaptive_span: when spans are put back into [0, 1]; forward: in fp16 "
      "not the master");
  add("--initialization", flags->initialization, {"original", "fairseq"},
      "adaptive_span: distributions of the first values");
  add("--biases", flags->biases, {"tied", "per-layer"},
      "transformer_xl: one u and v for the model or for each layer");
  add("--memory-start", flags->memory_start, {"empty", "zero"},
      "transformer_xl: zero: --mem-len zero vectors that are attended to");
  add("--adam-eps-place", flags->adam_eps_place, {"after", "before"},
      "adam: whether eps is added after the second moment is corrected");
  add("--log-losses", flags->log_losses, {"scored", "fairseq"},
      "what losses are divided by: scored symbols, or all positions");
}

// Flags of fairseq's that have no meaning here.
const std::vector<InertFlag>& InertTrainFlags() {
  static const auto* const flags = new std::vector<InertFlag>{
      {"--user-dir", "both architectures are built in"},
      {"--batch-size-valid", "every part is read in rows of --batch-size"},
      {"--num-workers", "reading needs no process of its own"},
      {"--ddp-backend", "gradients are averaged in flat buckets"},
      {"--distributed-world-size", "WORLD_SIZE says it"},
      {"--distributed-port", "MASTER_PORT says it"},
      {"--required-batch-size-multiple", "batches are whole"},
      {"--fp16-no-flatten-grads", "gradients are never flattened", false},
      {"--no-progress-bar", "there is none where output is no terminal", false},
      {"--skip-invalid-size-inputs-valid-test", "no input has a wrong size",
       false},
  };
  return *flags;
}

}  // namespace

void AddTrainFlags(CLI::App* command, TrainFlags* flags) {
  // As fairseq's parser: of a flag given twice the last counts.
  command->option_defaults()->multi_option_policy(
      CLI::MultiOptionPolicy::TakeLast);
  AddRunFlags(command, flags);
  AddModelFlags(command, flags);
  AddRecipeFlags(command, flags);
  AddSemanticsFlags(command, flags);
  AddInertFlags(command, InertTrainFlags(), &flags->without_effect);
}

absl::StatusOr<TrainOptions> ResolveTrainFlags(const TrainFlags& flags) {
  TrainOptions options = flags.options;
  SPANLM_RETURN_IF_ERROR(CheckCriterion(flags));
  SPANLM_RETURN_IF_ERROR(ResolveModel(flags, &options.model));
  options.semantics_kind = flags.semantics == "fairseq"
                               ? SemanticsKind::kFairseq
                               : SemanticsKind::kOriginal;
  options.semantics = ResolveSemantics(flags, options.semantics_kind);
  options.optimizer.kind = flags.optimizer == "adam"
                               ? OptimizerKind::kAdam
                               : OptimizerKind::kAdagradWithGradClip;
  SPANLM_RETURN_IF_ERROR(ParseBetas(flags.adam_betas, &options.optimizer));
  options.schedule.scheduler = flags.lr_scheduler == "cosine"
                                   ? LrScheduler::kCosine
                                   : LrScheduler::kFixed;
  options.log_to_stdout = flags.log_format == "json";
  options.epoch_checkpoints = !flags.no_epoch_checkpoints;
  SPANLM_RETURN_IF_ERROR(ResolvePrecision(flags, &options.precision));
  return options;
}

}  // namespace spanlm
