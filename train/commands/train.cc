// SPDX-License-Identifier: Apache-2.0
#include "train/commands/train.h"

#include <ATen/Parallel.h>
#include <malloc.h>

#include <atomic>
#include <csignal>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "train/exit_codes.h"
#include "train/train_options.h"
#include "train/trainer.h"

namespace spanlm {
namespace {

std::atomic<bool> stop_requested{false};

void RequestStop(int /*signal*/) { stop_requested.store(true); }

// Flags as they are typed; Resolve turns them into TrainOptions.
struct TrainFlags {
  TrainOptions options;
  std::string arch = "adaptive_span";
  int32_t d_head = 0;
  std::string optimizer = "adagrad_with_grad_clip";
  std::string adam_betas = "(0.9, 0.999)";
  std::string lr_scheduler = "fixed";
  std::string log_format = "json";
  std::string precision = "fp32";
  std::string device = "cpu";
  bool same_length = false;
};

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

absl::StatusOr<TrainOptions> Resolve(const TrainFlags& flags) {
  TrainOptions options = flags.options;
  ModelFields& model = options.model;
  model.architecture = flags.arch == "adaptive_span"
                           ? Architecture::kAdaptiveSpan
                           : Architecture::kTransformerXl;
  if (model.n_head < 1 || model.d_model % model.n_head != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("--n-head is ", model.n_head,
                     ", want a divisor of --d-model ", model.d_model));
  }
  model.d_head = model.d_model / model.n_head;
  if (flags.d_head != 0 && flags.d_head != model.d_head) {
    return absl::InvalidArgumentError(
        absl::StrCat("--d-head is ", flags.d_head,
                     ", want --d-model / --n-head = ", model.d_head));
  }
  if (model.architecture == Architecture::kAdaptiveSpan) {
    model.mem_len = 0;
    model.clamp_len = -1;
    model.same_length = ModelFields().same_length;
  } else {
    model.attn_span = 0;
    model.ramp = ModelFields().ramp;
    model.same_length = flags.same_length;
  }
  options.optimizer.kind = flags.optimizer == "adam"
                               ? OptimizerKind::kAdam
                               : OptimizerKind::kAdagradWithGradClip;
  SPANLM_RETURN_IF_ERROR(ParseBetas(flags.adam_betas, &options.optimizer));
  options.schedule.scheduler = flags.lr_scheduler == "cosine"
                                   ? LrScheduler::kCosine
                                   : LrScheduler::kFixed;
  options.log_to_stdout = flags.log_format == "json";
  options.precision =
      flags.precision == "bf16" ? Precision::kBf16 : Precision::kFull;
  return options;
}

absl::StatusOr<TrainEnd> RunTraining(const TrainFlags& flags) {
  SPANLM_ASSIGN_OR_RETURN(const TrainOptions options, Resolve(flags));
  // An update's large tensors would go back to the kernel after each use and
  // come again as zeroed pages.
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  at::set_num_interop_threads(1);
  std::signal(SIGTERM, RequestStop);
  std::signal(SIGINT, RequestStop);
  SPANLM_ASSIGN_OR_RETURN(std::unique_ptr<Trainer> trainer,
                          Trainer::Create(options, &stop_requested));
  return trainer->Run();
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
  add("--batch-size", options.batch_size, "rows read side by side");
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
  add("--lr", options.schedule.lr, "learning rate");
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
  add("--seed", options.seed, "of initial values, dropout and pass offsets");
}

void AddRunFlags(CLI::App* command, TrainFlags* flags) {
  TrainOptions& options = flags->options;
  const auto add = [command](const char* name, auto& value, const char* help) {
    return command->add_option(name, value, help)->capture_default_str();
  };
  command
      ->add_option("--data,DATA", options.data,
                   "a folder that `spanlm-train preprocess --raw` wrote")
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
  add("--precision", flags->precision, "of products")
      ->check(CLI::IsMember({"fp32", "bf16"}));
  add("--device", flags->device, "where to compute")
      ->check(CLI::IsMember({"cpu"}));
  add("--threads", options.threads, "0: one for each core allowed");
}

int Train(const TrainFlags& flags) {
  const absl::StatusOr<TrainEnd> end = RunTraining(flags);
  if (!end.ok()) return Report(end.status());
  return *end == TrainEnd::kStopped ? kExitStopped : kExitDone;
}

}  // namespace

void AddTrainCommand(CLI::App& app, int* exit_code) {
  auto flags = std::make_shared<TrainFlags>();
  CLI::App* command = app.add_subcommand("train", "Trains a model.");
  AddRunFlags(command, flags.get());
  AddModelFlags(command, flags.get());
  AddRecipeFlags(command, flags.get());
  command->callback([flags, exit_code] { *exit_code = Train(*flags); });
}

}  // namespace spanlm
