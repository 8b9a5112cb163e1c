// SPDX-License-Identifier: Apache-2.0
#include "train/trainer.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/Reduction.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <numeric>
#include <system_error>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "base/status_macros.h"
#include "engine/model/adaptive_span.h"
#include "engine/runtime/torch_guard.h"
#include "train/serving_check.h"

namespace spanlm {
namespace {

// How much of the valid range every save also scores as it will be served.
constexpr size_t kServingCheckBytes = 64 << 10;

// Where a run goes on from: a path, or a name inside save_dir; "X.pt" stands
// for the model directory X. Empty: there is none.
std::string FindRestore(const TrainOptions& options) {
  const std::string name(absl::StripSuffix(options.restore_file, ".pt"));
  for (const std::string& path :
       {absl::StrCat(options.save_dir, "/", name), name}) {
    std::error_code error;
    if (std::filesystem::is_directory(path, error)) return path;
  }
  return "";
}

bool IsDefaultRestore(const TrainOptions& options) {
  return options.restore_file == TrainOptions().restore_file;
}

MeterOptions MetersFor(const TrainOptions& options) {
  MeterOptions meters;
  meters.has_spans = options.model.architecture == Architecture::kAdaptiveSpan;
  meters.has_clip = options.optimizer.kind == OptimizerKind::kAdam;
  meters.rows = options.batch_size;
  meters.block = options.tokens_per_sample;
  return meters;
}

// A seed of its own for each update and part, so that a resume needs no state.
uint64_t DropoutSeed(uint64_t seed, int64_t update, size_t part) {
  return seed + (static_cast<uint64_t>(update) << 16) + part;
}

absl::Status MakeFolder(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (!error) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat(path, ": ", error.message()));
}

}  // namespace

Trainer::Trainer(const TrainOptions& options, const std::atomic<bool>* stop,
                 Corpus corpus, StreamBatcher batcher, TrainLog log)
    : options_(options),
      stop_(stop),
      corpus_(std::move(corpus)),
      batcher_(std::move(batcher)),
      log_(std::move(log)),
      meters_(MetersFor(options)),
      epoch_meters_(MetersFor(options)),
      start_(absl::Now()) {}

absl::StatusOr<std::unique_ptr<Trainer>> Trainer::Create(
    const TrainOptions& options, const std::atomic<bool>* stop) {
  SPANLM_RETURN_IF_ERROR(CheckTrainOptions(options));
  SPANLM_ASSIGN_OR_RETURN(Corpus corpus, Corpus::Open(options.data));
  SPANLM_ASSIGN_OR_RETURN(
      StreamBatcher batcher,
      StreamBatcher::Create(corpus.train(), options.batch_size,
                            options.tokens_per_sample, options.seed));
  SPANLM_RETURN_IF_ERROR(MakeFolder(options.save_dir));
  SPANLM_ASSIGN_OR_RETURN(
      TrainLog log,
      TrainLog::Open(absl::StrCat(options.save_dir, "/train.jsonl"),
                     options.log_to_stdout));
  std::unique_ptr<Trainer> trainer(new Trainer(
      options, stop, std::move(corpus), std::move(batcher), std::move(log)));
  SPANLM_RETURN_IF_ERROR(
      GuardTorch("starting to train", [&] { return trainer->Start(); }));
  return trainer;
}

absl::Status Trainer::Start() {
  SPANLM_ASSIGN_OR_RETURN(const ModelConfig config, ConfigToTrain(options_));
  if (options_.threads > 0) at::set_num_threads(options_.threads);
  pass_.precision = options_.precision;
  pass_.dropout = options_.dropout;
  pass_.generator = at::detail::createCPUGenerator(options_.seed);
  model_ = NewByteModel(config);
  model_->Initialize(*pass_.generator);
  if (config->architecture == Architecture::kAdaptiveSpan) {
    static_cast<AdaptiveSpan&>(*model_).SetSpans(options_.adapt_span_init);
  }
  optimizer_ = NewOptimizer(options_.optimizer, model_->parameters());
  parts_ = MakeRowParts(options_.batch_size);
  pieces_ = CutIntoPieces(model_->parameters());
  StartMemories();
  log_.Say("train",
           absl::StrCat("num. model params: ", model_->parameter_count()));
  const std::string restore = FindRestore(options_);
  if (restore.empty()) {
    if (IsDefaultRestore(options_)) return absl::OkStatus();
    return absl::NotFoundError(absl::StrCat(
        "--restore-file ", options_.restore_file, ": no such directory"));
  }
  ModelMemory memory = JoinRows(memories_);
  SPANLM_ASSIGN_OR_RETURN(progress_,
                          RestoreTraining(restore, options_, model_.get(),
                                          optimizer_.get(), &memory));
  memories_ = SplitRows(memory, parts_);
  batcher_.Seek(progress_.position);
  seconds_before_ = progress_.seconds;
  log_.Say("train", absl::StrCat("going on from ", restore, " at update ",
                                 progress_.update));
  return absl::OkStatus();
}

double Trainer::seconds() const {
  return seconds_before_ + absl::ToDoubleSeconds(absl::Now() - start_);
}

double Trainer::next_lr() const {
  return LearningRate(options_.schedule, progress_.update + 1, seconds());
}

double Trainer::epochs() const {
  return static_cast<double>(batcher_.position().epoch - 1) +
         batcher_.pass_fraction();
}

SpanFigures Trainer::span_figures() const {
  SpanFigures figures;
  const std::vector<LayerWindow> windows = model_->windows();
  for (const LayerWindow& window : windows) {
    figures.average += static_cast<double>(window.average_span) /
                       static_cast<double>(windows.size());
    figures.maximum = std::max<double>(figures.maximum, window.max_size);
  }
  return figures;
}

void Trainer::StartMemories() {
  memories_ = SplitRows(model_->NewMemory(options_.batch_size, pass_), parts_);
}

void Trainer::TakeGradients(
    std::vector<std::vector<at::Tensor>>* parts_gradients) {
  const std::vector<NamedTensor>& parameters = model_->parameters();
  for (std::vector<at::Tensor>& gradients : *parts_gradients) {
    for (at::Tensor& gradient : gradients) gradient = gradient.contiguous();
  }
  ForPieces(pieces_, [&](int64_t, const ParameterPiece& piece) {
    at::NoGradGuard no_grad;  // a thread's own
    const at::Tensor sum = piece.Of((*parts_gradients)[0][piece.tensor]);
    for (size_t part = 1; part < parts_gradients->size(); ++part) {
      sum.add_(piece.Of((*parts_gradients)[part][piece.tensor]));
    }
  });
  for (size_t i = 0; i < parameters.size(); ++i) {
    parameters[i].tensor.mutable_grad() = (*parts_gradients)[0][i];
  }
}

UpdateReport Trainer::Compute(const StreamBatch& batch) {
  std::vector<at::Tensor> parameters;
  for (const NamedTensor& parameter : model_->parameters()) {
    parameters.push_back(parameter.tensor);
  }
  std::vector<double> losses(parts_.size());
  std::vector<std::vector<at::Tensor>> gradients(parts_.size());
  UpdateReport report;
  ForRowParts(parts_, [&](size_t i, const RowPart& part) {
    PassOptions pass = pass_;
    pass.generator = at::detail::createCPUGenerator(
        DropoutSeed(options_.seed, progress_.update, i));
    const at::Tensor logits = model_->Forward(
        batch.tokens.narrow(0, part.first, part.count), pass, &memories_[i]);
    at::Tensor loss = at::cross_entropy_loss(
        logits.flatten(0, 1),
        batch.targets.narrow(0, part.first, part.count).flatten());
    loss = loss * (static_cast<double>(part.count) / options_.batch_size);
    losses[i] = loss.item<double>();
    const at::Tensor spans = i == 0 ? model_->SpanSum() : at::Tensor();
    if (spans.defined()) {
      report.span_loss = options_.aux_loss_scaler * spans.item<double>();
      loss = loss + spans * options_.aux_loss_scaler;
    }
    gradients[i] = torch::autograd::grad({loss}, parameters);
  });
  report.loss_nats = std::accumulate(losses.begin(), losses.end(), 0.0);
  TakeGradients(&gradients);
  return report;
}

absl::StatusOr<UpdateReport> Trainer::Update() {
  return GuardTorch("update", [&]() -> absl::StatusOr<UpdateReport> {
    const double lr = next_lr();
    const StreamBatch batch = batcher_.Next();
    if (batch.starts_pass) {
      StartMemories();
    }
    UpdateReport report = Compute(batch);
    if (!std::isfinite(report.loss_nats)) {
      return absl::InternalError(absl::StrCat(
          "update ", progress_.update + 1, ": loss is ", report.loss_nats,
          "; start again from a checkpoint with a lower --lr"));
    }
    report.step = optimizer_->Step(lr);
    if (!std::isfinite(report.step.gradient_norm)) {
      return absl::InternalError(
          absl::StrCat("update ", progress_.update + 1, ": gradient norm is ",
                       report.step.gradient_norm,
                       "; start again from a checkpoint with a lower --lr"));
    }
    model_->ClampSpans();
    ++progress_.update;
    progress_.position = batcher_.position();
    return report;
  });
}

absl::Status Trainer::Save(const std::string& name) {
  return GuardTorch("saving", [&]() -> absl::Status {
    progress_.seconds = seconds();
    SPANLM_ASSIGN_OR_RETURN(
        ModelContents contents,
        ContentsOf(*model_, *optimizer_, JoinRows(memories_), progress_,
                   options_));
    return WriteModelDir(absl::StrCat(options_.save_dir, "/", name),
                         std::move(contents));
  });
}

absl::Status Trainer::ValidateAndKeepBest() {
  absl::Span<const uint8_t> text = corpus_.valid();
  if (options_.valid_bytes > 0) {
    text = text.subspan(0, static_cast<size_t>(options_.valid_bytes));
  }
  const absl::Time begin = absl::Now();
  Validation validation;
  SPANLM_RETURN_IF_ERROR(GuardTorch("validating", [&] {
    validation = Validate(*model_, text, options_.batch_size,
                          options_.tokens_per_sample, options_.precision);
    return absl::OkStatus();
  }));
  if (validation.scored == 0) return absl::OkStatus();
  const double loss = validation.bits_per_byte();
  const bool is_best = progress_.best_loss < 0 || loss <= progress_.best_loss;
  if (is_best) progress_.best_loss = loss;
  const at::Tensor spans = model_->SpanSum();
  LogRecord record;
  record.Integer("epoch", batcher_.position().epoch)
      .Rounded("valid_loss", loss, 4);
  if (spans.defined()) {
    const SpanFigures figures = span_figures();
    record.Rounded("valid_avg_span", figures.average, 3)
        .Rounded("valid_max_span", figures.maximum, 3)
        .Rounded("valid_total_loss",
                 loss + options_.aux_loss_scaler * spans.item<double>() / M_LN2,
                 4);
  }
  const double duration = absl::ToDoubleSeconds(absl::Now() - begin);
  record.Rounded("valid_ppl", std::exp2(loss), 2)
      .Rounded("valid_wps", static_cast<double>(validation.scored) / duration,
               1)
      .Number("valid_num_updates", static_cast<double>(progress_.update))
      .Rounded("valid_best_loss", progress_.best_loss, 4);
  log_.Write("valid", record);
  return is_best ? Save("checkpoint_best") : absl::OkStatus();
}

absl::Status Trainer::SaveAndCheckServing() {
  SPANLM_RETURN_IF_ERROR(Save("checkpoint_last"));
  if (!ServesAsItTrains(model_->config())) return absl::OkStatus();
  ServingCheck check;
  const absl::Status status = GuardTorch("checking", [&]() -> absl::Status {
    SPANLM_ASSIGN_OR_RETURN(
        check, CheckServing(*model_,
                            absl::StrCat(options_.save_dir, "/checkpoint_last"),
                            corpus_.valid().subspan(0, kServingCheckBytes),
                            options_.batch_size, options_.tokens_per_sample,
                            options_.threads));
    return absl::OkStatus();
  });
  if (!status.ok()) {
    log_.Say("serving", absl::StrCat("cannot check checkpoint_last: ",
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
  return absl::OkStatus();
}

absl::Status Trainer::EndPass() {
  const int64_t epoch = batcher_.position().epoch;
  SPANLM_RETURN_IF_ERROR(ValidateAndKeepBest());
  SPANLM_RETURN_IF_ERROR(Save(absl::StrCat("checkpoint", epoch)));
  SPANLM_RETURN_IF_ERROR(SaveAndCheckServing());
  if (epoch_meters_.empty()) return absl::OkStatus();
  LogRecord record;
  record.Integer("epoch", epoch);
  epoch_meters_.Append("train_", {progress_.update, next_lr(), seconds()},
                       &record);
  log_.Write("train", record);
  epoch_meters_.Reset();
  return absl::OkStatus();
}

bool Trainer::limit_reached() const {
  const ScheduleOptions& schedule = options_.schedule;
  if (schedule.max_update > 0 && progress_.update >= schedule.max_update) {
    return true;
  }
  if (schedule.max_seconds > 0 && seconds() >= schedule.max_seconds) {
    return true;
  }
  return options_.max_epoch > 0 && batcher_.at_pass_end() &&
         batcher_.position().epoch >= options_.max_epoch;
}

absl::StatusOr<TrainEnd> Trainer::Run() {
  const auto due = [&](int32_t interval) {
    return interval > 0 && progress_.update % interval == 0;
  };
  while (!limit_reached()) {
    if (stop_->load()) {
      SPANLM_RETURN_IF_ERROR(Save("checkpoint_last"));
      log_.Say("train", absl::StrCat("stopped at update ", progress_.update,
                                     "; start again to go on"));
      return TrainEnd::kStopped;
    }
    const absl::Time begin = absl::Now();
    SPANLM_ASSIGN_OR_RETURN(const UpdateReport report, Update());
    UpdateFigures figures;
    figures.loss_bits = report.loss_nats / M_LN2;
    figures.total_loss_bits = (report.loss_nats + report.span_loss) / M_LN2;
    figures.gradient_norm = report.step.gradient_norm;
    figures.clipped = report.step.clipped;
    figures.spans = span_figures();
    figures.duration = absl::Now() - begin;
    meters_.Add(figures);
    epoch_meters_.Add(figures);
    if (due(options_.log_interval)) {
      LogRecord record;
      record.Integer("epoch", batcher_.position().epoch)
          .Decimal("update", epochs(), 3);
      meters_.Append("", {progress_.update, next_lr(), seconds()}, &record);
      log_.Write("train_inner", record);
      meters_.Reset();
    }
    if (limit_reached()) break;
    if (batcher_.at_pass_end()) {
      SPANLM_RETURN_IF_ERROR(EndPass());
      continue;
    }
    if (due(options_.validate_interval_updates)) {
      SPANLM_RETURN_IF_ERROR(ValidateAndKeepBest());
    }
    if (due(options_.save_interval_updates)) {
      SPANLM_RETURN_IF_ERROR(SaveAndCheckServing());
    }
  }
  SPANLM_RETURN_IF_ERROR(EndPass());
  return TrainEnd::kDone;
}

}  // namespace spanlm
