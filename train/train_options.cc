// SPDX-License-Identifier: Apache-2.0
#include "train/train_options.h"

#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace spanlm {
namespace {

constexpr int32_t kMaxThreads = 1024;

template <typename T>
absl::Status Refuse(const char* flag, T value, const char* bound) {
  return absl::InvalidArgumentError(
      absl::StrCat(flag, " is ", value, ", want ", bound));
}

absl::Status CheckRate(const char* flag, double rate) {
  if (rate >= 0 && rate < 1) return absl::OkStatus();
  return Refuse(flag, rate, "at least 0 and below 1");
}

absl::Status CheckPositive(const char* flag, double value) {
  if (value > 0 && std::isfinite(value)) return absl::OkStatus();
  return Refuse(flag, value, "a finite number above 0");
}

template <typename T>
absl::Status CheckAtLeast(const char* flag, T value, T least) {
  if (value >= least && std::isfinite(static_cast<double>(value))) {
    return absl::OkStatus();
  }
  return Refuse(flag, value, absl::StrCat("at least ", least).c_str());
}

absl::Status CheckModel(const TrainOptions& options) {
  const bool is_span =
      options.model.architecture == Architecture::kAdaptiveSpan;
  SPANLM_RETURN_IF_ERROR(CheckRate("--dropout", options.dropout.activation));
  SPANLM_RETURN_IF_ERROR(CheckRate("--dropatt", options.dropout.attention));
  SPANLM_RETURN_IF_ERROR(CheckRate("--emb-dropout", options.dropout.embedding));
  if (is_span && options.dropout.attention > 0) {
    return absl::InvalidArgumentError(
        "--dropatt belongs to --arch transformer_xl; adaptive_span drops "
        "attention weights by --dropout");
  }
  if (!is_span && options.dropout.embedding > 0) {
    return absl::InvalidArgumentError(
        "--emb-dropout belongs to --arch adaptive_span; transformer_xl drops "
        "embeddings by --dropout");
  }
  if (!(options.adapt_span_init >= 0 && options.adapt_span_init <= 1)) {
    return Refuse("--adapt-span-init", options.adapt_span_init, "0 to 1");
  }
  return CheckAtLeast("--aux-loss-scaler", options.aux_loss_scaler, 0.0);
}

absl::Status CheckOptimizer(const OptimizerOptions& options) {
  SPANLM_RETURN_IF_ERROR(
      CheckAtLeast("--adagrad-clip", options.adagrad_clip, 0.0));
  SPANLM_RETURN_IF_ERROR(CheckAtLeast("--clip-norm", options.clip_norm, 0.0));
  SPANLM_RETURN_IF_ERROR(
      CheckAtLeast("--weight-decay", options.weight_decay, 0.0));
  SPANLM_RETURN_IF_ERROR(CheckPositive("--adam-eps", options.adam_eps));
  SPANLM_RETURN_IF_ERROR(CheckRate("--adam-betas", options.beta1));
  SPANLM_RETURN_IF_ERROR(CheckRate("--adam-betas", options.beta2));
  const bool is_adam = options.kind == OptimizerKind::kAdam;
  if (is_adam && options.adagrad_clip > 0) {
    return absl::InvalidArgumentError(
        "--adagrad-clip belongs to --optimizer adagrad_with_grad_clip");
  }
  if (!is_adam && (options.clip_norm > 0 || options.weight_decay > 0)) {
    return absl::InvalidArgumentError(
        "--clip-norm and --weight-decay belong to --optimizer adam");
  }
  return absl::OkStatus();
}

absl::Status CheckSchedule(const ScheduleOptions& options) {
  SPANLM_RETURN_IF_ERROR(CheckPositive("--lr", options.lr));
  SPANLM_RETURN_IF_ERROR(
      CheckAtLeast<int64_t>("--warmup-updates", options.warmup_updates, 0));
  SPANLM_RETURN_IF_ERROR(
      CheckAtLeast<int64_t>("--max-update", options.max_update, 0));
  SPANLM_RETURN_IF_ERROR(
      CheckAtLeast("--max-seconds", options.max_seconds, 0.0));
  if (options.scheduler == LrScheduler::kCosine && options.max_update == 0 &&
      options.max_seconds == 0) {
    return absl::InvalidArgumentError(
        "--lr-scheduler cosine needs --max-update or --max-seconds: its "
        "period");
  }
  return absl::OkStatus();
}

absl::Status CheckRun(const TrainOptions& options) {
  SPANLM_RETURN_IF_ERROR(
      CheckAtLeast("--stop-time-hours", options.stop_time_hours, 0.0));
  SPANLM_RETURN_IF_ERROR(CheckAtLeast("--patience", options.patience, 0));
  SPANLM_RETURN_IF_ERROR(
      CheckAtLeast("--validate-interval", options.validate_interval, 1));
  SPANLM_RETURN_IF_ERROR(
      CheckAtLeast("--save-interval", options.save_interval, 1));
  SPANLM_RETURN_IF_ERROR(
      CheckAtLeast("--keep-last-epochs", options.keep_last_epochs, -1));
  SPANLM_RETURN_IF_ERROR(CheckAtLeast("--keep-interval-updates",
                                      options.keep_interval_updates, -1));
  SPANLM_RETURN_IF_ERROR(
      CheckPositive("--fp16-init-scale", options.scaler.initial_scale));
  SPANLM_RETURN_IF_ERROR(
      CheckPositive("--min-loss-scale", options.scaler.min_scale));
  return CheckAtLeast<int64_t>("--fp16-scale-window", options.scaler.window, 0);
}

}  // namespace

absl::Status CheckTrainOptions(const TrainOptions& options) {
  if (options.data.empty()) {
    return absl::InvalidArgumentError("no corpus: give DATA or --data");
  }
  SPANLM_RETURN_IF_ERROR(CheckModel(options));
  SPANLM_RETURN_IF_ERROR(CheckOptimizer(options.optimizer));
  SPANLM_RETURN_IF_ERROR(CheckSchedule(options.schedule));
  SPANLM_RETURN_IF_ERROR(
      CheckAtLeast("--tokens-per-sample", options.tokens_per_sample, 1));
  if (options.semantics.layout == RowLayout::kBlocks &&
      options.tokens_per_sample == 1) {
    return Refuse("--tokens-per-sample", options.tokens_per_sample,
                  "at least 2 where block ends are not scored");
  }
  SPANLM_RETURN_IF_ERROR(CheckAtLeast("--batch-size", options.batch_size, 1));
  SPANLM_RETURN_IF_ERROR(CheckAtLeast("--update-freq", options.update_freq, 1));
  SPANLM_RETURN_IF_ERROR(CheckRun(options));
  SPANLM_RETURN_IF_ERROR(
      CheckAtLeast<int64_t>("--max-epoch", options.max_epoch, 0));
  SPANLM_RETURN_IF_ERROR(
      CheckAtLeast("--log-interval", options.log_interval, 1));
  SPANLM_RETURN_IF_ERROR(CheckAtLeast("--validate-interval-updates",
                                      options.validate_interval_updates, 0));
  SPANLM_RETURN_IF_ERROR(CheckAtLeast("--save-interval-updates",
                                      options.save_interval_updates, 0));
  SPANLM_RETURN_IF_ERROR(
      CheckAtLeast<int64_t>("--valid-bytes", options.valid_bytes, 0));
  if (options.threads > kMaxThreads) {
    return Refuse("--threads", options.threads, "at most 1024");
  }
  return CheckAtLeast("--threads", options.threads, 0);
}

absl::StatusOr<ModelConfig> ConfigToTrain(const TrainOptions& options,
                                          const Corpus& corpus) {
  ModelFields fields = options.model;
  fields.family = Family::kNative;
  SPANLM_RETURN_IF_ERROR(corpus.SetVocabulary(&fields));
  return ModelConfig::Create(std::move(fields));
}

BatchOptions RowsOf(const TrainOptions& options, const Corpus& corpus, int rank,
                    int processes) {
  BatchOptions rows;
  rows.layout = options.semantics.layout;
  rows.rows = int64_t{options.batch_size} * processes;
  rows.first_row = int64_t{options.batch_size} * rank;
  rows.row_count = options.batch_size;
  rows.block = options.tokens_per_sample;
  rows.seed = options.seed;
  rows.pad_symbol = corpus.pad_symbol();
  return rows;
}

}  // namespace spanlm
