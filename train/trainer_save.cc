// SPDX-License-Identifier: Apache-2.0
// What a trainer does between updates: validate and save.
#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/status_macros.h"
#include "engine/checkpoint/model_dir.h"
#include "engine/model/adaptive_span.h"
#include "engine/runtime/torch_guard.h"
#include "train/checkpoints.h"
#include "train/serving_check.h"
#include "train/trainer.h"
#include "train/validate.h"

namespace spanlm {
namespace {

const char kBest[] = "checkpoint_best";
// How much of the valid range every save also scores as it will be served.
constexpr int64_t kServingCheckSymbols = 64 << 10;
// Bits per symbol; what block and step form differ in is below 1e-5.
constexpr double kServingTolerance = 1e-3;
constexpr int64_t kBlocksBetweenMeetings = 8;

}  // namespace

absl::Status Trainer::Save(const std::string& name) {
  return GuardTorch("saving", [&]() -> absl::Status {
    SPANLM_RETURN_IF_ERROR(learner_->CheckParameters());
    progress_.seconds = seconds_;
    ModelMemory memory = JoinRows(*learner_->memories());
    for (at::Tensor& layer : memory.layers) layer = group_->Stack(layer);
    return group_->RunInFirst([&]() -> absl::Status {
      SPANLM_ASSIGN_OR_RETURN(
          ModelContents contents,
          ContentsOf(*learner_, memory, progress_, run_facts()));
      return WriteModelDir(absl::StrCat(options_.save_dir, "/", name),
                           std::move(contents));
    });
  });
}

absl::Status Trainer::ValidateAndKeepBest() {
  ValidateOptions validate;
  validate.rows = RowsOf(options_, corpus_, group_->rank(), group_->size());
  validate.precision = options_.precision;
  const SymbolText valid = corpus_.valid();
  const SymbolText text = valid.Part(
      0, options_.valid_bytes > 0 ? options_.valid_bytes : valid.size());
  const absl::Time begin = absl::Now();
  Validation sum;
  SPANLM_RETURN_IF_ERROR(GuardTorch("validating", [&] {
    if (options_.semantics.span_clamp == SpanClamp::kBeforeForward) {
      learner_->mutable_model()->ClampSpans();
    }
    std::vector<ModelMemory> memories = *learner_->memories();
    sum = Validate(model(), text, validate,
                   options_.semantics.shares_memory ? &memories : nullptr,
                   [this](const Validation& so_far) {
                     // The others are asked now and then only.
                     if (so_far.blocks % kBlocksBetweenMeetings == 0) {
                       MeetOthers();
                     }
                     return !stops_;
                   });
    if (sum.complete && options_.semantics.shares_memory) {
      *learner_->memories() = std::move(memories);
    }
    const at::Tensor sums =
        at::tensor({sum.bits, static_cast<double>(sum.scored),
                    static_cast<double>(sum.positions)},
                   at::TensorOptions().dtype(at::kDouble));
    group_->Sum(sums);
    sum.bits = sums[0].item<double>();
    sum.scored = static_cast<int64_t>(sums[1].item<double>());
    sum.positions = static_cast<int64_t>(sums[2].item<double>());
    return absl::OkStatus();
  }));
  progress_.validation_pending = !sum.complete;
  if (!sum.complete) return absl::OkStatus();
  progress_.validated_update = progress_.update;
  if (sum.scored == 0) return ReportUnscoredValid();
  if (!std::isfinite(sum.bits)) {
    return absl::InternalError(
        absl::StrCat("validation after update ", progress_.update, ": loss is ",
                     sum.bits_per_symbol(),
                     "; start again from a checkpoint with a lower --lr"));
  }
  const double loss = sum.bits_per_symbol();
  const bool is_best = progress_.best_loss < 0 || loss <= progress_.best_loss;
  if (is_best) progress_.best_loss = loss;
  progress_.worse_validations = is_best ? 0 : progress_.worse_validations + 1;

  if (metrics_ != nullptr) metrics_->SetValidation(loss);
  ValidFigures figures;
  figures.validation = sum;
  figures.best_bits_per_symbol = progress_.best_loss;
  figures.duration = absl::Now() - begin;
  if (is_adaptive_span()) {
    figures.spans = span_figures();
    figures.span_loss_bits =
        options_.aux_loss_scaler * model().SpanSum().item<double>() / M_LN2;
  }
  LogRecord record;
  record.Integer("epoch", batcher_.position().epoch);
  meters_.AppendValid(figures, progress_.update, &record);
  log_.Write("valid", record);
  LogSpans();
  return is_best ? Save(kBest) : absl::OkStatus();
}

absl::Status Trainer::ReportUnscoredValid() {
  const std::string reason = absl::StrCat(
      "the valid part, ", corpus_.valid().size(), " symbols, is too short for ",
      int64_t{options_.batch_size} * group_->size(), " rows");
  if (options_.patience > 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("--patience is ", options_.patience, ", but ", reason));
  }
  log_.Say("valid", absl::StrCat("nothing is scored: ", reason));
  return absl::OkStatus();
}

void Trainer::LogSpans() {
  if (!is_adaptive_span()) return;
  LogRecord record;
  record.Number("num_updates", static_cast<double>(progress_.update));
  std::vector<std::vector<double>> spans;
  for (const NamedTensor& parameter : model().parameters()) {
    if (!IsSpan(parameter.name)) continue;
    const at::Tensor positions =
        (parameter.tensor.detach().to(at::kCPU, at::kDouble).flatten() *
         static_cast<double>(options_.model.attn_span))
            .contiguous();
    const double* first = positions.const_data_ptr<double>();
    spans.emplace_back(first, first + positions.numel());
  }
  record.Rows("spans", spans);
  log_.WriteToFile("spans", record);
}

absl::Status Trainer::SaveAndCheckServing() {
  SPANLM_RETURN_IF_ERROR(Save(kLastCheckpoint));
  if (metrics_ != nullptr) metrics_->CountCheckpoint(absl::Now());
  if (!ServesAsItTrains(model().config())) return absl::OkStatus();
  return group_->RunInFirst([this] { return LogServing(); });
}

absl::Status Trainer::LogServing() {
  ServingCheck check;
  const absl::Status status = GuardTorch("checking", [&]() -> absl::Status {
    UseThreads(options_.threads);  // of this thread, which may be a new one
    SPANLM_ASSIGN_OR_RETURN(
        check,
        CheckServing(model(),
                     absl::StrCat(options_.save_dir, "/", kLastCheckpoint),
                     corpus_.valid().Part(0, kServingCheckSymbols),
                     {options_.batch_size, options_.tokens_per_sample,
                      options_.threads}));
    return absl::OkStatus();
  });
  if (!status.ok()) {
    log_.Say("serving", absl::StrCat("cannot check ", kLastCheckpoint, ": ",
                                     std::string(status.message())));
    return absl::OkStatus();
  }
  if (check.scored == 0) return absl::OkStatus();
  LogRecord record;
  record.Integer("serving_scored", check.scored)
      .Rounded("serving_loss",
               check.served_bits / static_cast<double>(check.scored), 4)
      .Number("serving_difference", check.difference())
      .Number("serving_num_updates", static_cast<double>(progress_.update));
  log_.Write("serving", record);
  if (std::abs(check.difference()) > kServingTolerance) {
    log_.Say("serving",
             absl::StrCat("warning: what is served differs from what is "
                          "trained by ",
                          check.difference(), " bits per symbol"));
  }
  return absl::OkStatus();
}

absl::Status Trainer::SaveUpdate() {
  SPANLM_RETURN_IF_ERROR(SaveAndCheckServing());
  if (!group_->is_first()) return absl::OkStatus();
  SPANLM_RETURN_IF_ERROR(LinkModelDir(
      absl::StrCat(options_.save_dir, "/", kLastCheckpoint),
      absl::StrCat(options_.save_dir, "/checkpoint_", batcher_.position().epoch,
                   "_", progress_.update)));
  return KeepLastUpdates(options_.save_dir, options_.keep_interval_updates);
}

absl::Status Trainer::EndPass(bool is_last) {
  const int64_t epoch = batcher_.position().epoch;
  const bool is_end = batcher_.at_pass_end();
  const bool is_due = is_last || epoch % options_.validate_interval == 0;
  if (is_due && progress_.validated_update != progress_.update) {
    SPANLM_RETURN_IF_ERROR(ValidateAndKeepBest());
  }
  if (progress_.validation_pending) return absl::OkStatus();
  if (is_last || epoch % options_.save_interval == 0) {
    SPANLM_RETURN_IF_ERROR(SaveAndCheckServing());
    if (group_->is_first() && options_.epoch_checkpoints && is_end) {
      SPANLM_RETURN_IF_ERROR(
          LinkModelDir(absl::StrCat(options_.save_dir, "/", kLastCheckpoint),
                       absl::StrCat(options_.save_dir, "/checkpoint", epoch)));
      SPANLM_RETURN_IF_ERROR(
          KeepLastEpochs(options_.save_dir, options_.keep_last_epochs));
    }
  }
  if (epoch_meters_.empty()) return absl::OkStatus();
  LogRecord record;
  record.Integer("epoch", epoch);
  epoch_meters_.Append("train_", latest(), &record);
  log_.Write("train", record);
  epoch_meters_.Reset();
  return absl::OkStatus();
}

}  // namespace spanlm
