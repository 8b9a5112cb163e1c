// SPDX-License-Identifier: Apache-2.0
#include "train/trainer.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Functions.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "base/status_macros.h"
#include "engine/checkpoint/model_dir.h"
#include "engine/model/adaptive_span.h"
#include "engine/runtime/torch_guard.h"
#include "train/checkpoints.h"

namespace spanlm {
namespace {

MeterOptions MetersFor(const TrainOptions& options, int processes) {
  MeterOptions meters;
  meters.has_spans = options.model.architecture == Architecture::kAdaptiveSpan;
  meters.has_clip = options.optimizer.kind == OptimizerKind::kAdam;
  meters.has_loss_scale = options.precision == Precision::kHalf;
  meters.fairseq_losses = options.semantics.fairseq_losses;
  meters.rows = int64_t{options.batch_size} * processes;
  meters.block = options.tokens_per_sample;
  return meters;
}

LearnerOptions LearnerOptionsOf(const TrainOptions& options) {
  LearnerOptions learner;
  learner.optimizer = options.optimizer;
  learner.optimizer.eps_place = options.semantics.adam_eps;
  if (options.precision == Precision::kHalf) learner.optimizer.clip_epsilon = 0;
  learner.scaler = options.scaler;
  learner.update_freq = options.update_freq;
  learner.precision = options.precision;
  learner.dropout = options.dropout;
  learner.span_clamp = options.semantics.span_clamp;
  learner.aux_loss_scaler = options.aux_loss_scaler;
  learner.seed = options.seed;
  return learner;
}

std::unique_ptr<ByteModel> NewModel(const ModelConfig& config,
                                    const TrainOptions& options) {
  std::unique_ptr<ByteModel> model = NewByteModel(config);
  model->Initialize(options.semantics.initialization,
                    at::detail::createCPUGenerator(options.seed));
  if (config->architecture != Architecture::kAdaptiveSpan) return model;
  auto& spans = static_cast<AdaptiveSpan&>(*model);
  spans.SetSpans(options.adapt_span_init);
  if (options.precision == Precision::kHalf &&
      options.semantics.rounds_mask_template) {
    spans.RoundMaskTemplate();
  }
  return model;
}

absl::Status Named(const std::string& path, const absl::Status& status) {
  if (status.ok()) return status;
  return absl::Status(status.code(),
                      absl::StrCat(path, ": ", status.message()));
}

absl::Status MakeFolder(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) {
    return absl::UnavailableError(absl::StrCat(path, ": ", error.message()));
  }
  return RemoveUnfinishedModelDirs(path);
}

}  // namespace

Trainer::Trainer(const TrainOptions& options, const std::atomic<bool>* stop,
                 ProcessGroup* group, Corpus corpus, StreamBatcher batcher,
                 TrainLog log)
    : options_(options),
      stop_(stop),
      group_(group),
      corpus_(std::move(corpus)),
      batcher_(std::move(batcher)),
      log_(std::move(log)),
      meters_(MetersFor(options, group->size())),
      epoch_meters_(MetersFor(options, group->size())),
      start_(absl::Now()) {}

absl::StatusOr<std::unique_ptr<Trainer>> Trainer::Create(
    const TrainOptions& options, const std::atomic<bool>* stop,
    ProcessGroup* group) {
  SPANLM_RETURN_IF_ERROR(CheckTrainOptions(options));
  SPANLM_ASSIGN_OR_RETURN(Corpus corpus, Corpus::Open(options.data));
  SPANLM_ASSIGN_OR_RETURN(
      StreamBatcher batcher,
      StreamBatcher::Create(
          corpus.train(),
          RowsOf(options, corpus, group->rank(), group->size())));
  TrainLog log = TrainLog::Mute();
  if (group->is_first()) {
    SPANLM_RETURN_IF_ERROR(MakeFolder(options.save_dir));
    SPANLM_ASSIGN_OR_RETURN(
        log, TrainLog::Open(absl::StrCat(options.save_dir, "/train.jsonl"),
                            options.log_to_stdout));
  }
  std::unique_ptr<Trainer> trainer(
      new Trainer(options, stop, group, std::move(corpus), std::move(batcher),
                  std::move(log)));
  if (group->is_first() && !options.metrics_listen.empty()) {
    SPANLM_ASSIGN_OR_RETURN(trainer->metrics_,
                            TrainMetrics::Listen(options.metrics_listen));
    trainer->log_.Say(
        "train", absl::StrCat("metrics at ", trainer->metrics_->address()));
  }
  const absl::Status started =
      GuardTorch("starting to train", [&] { return trainer->Start(); });
  if (!started.ok()) return trainer->Explained(started);
  return trainer;
}

absl::Status Trainer::Start() {
  SPANLM_ASSIGN_OR_RETURN(const ModelConfig config,
                          ConfigToTrain(options_, corpus_));
  UseThreads(options_.threads);
  learner_ = std::make_unique<Learner>(LearnerOptionsOf(options_),
                                       NewModel(config, options_),
                                       options_.batch_size, group_);
  log_.Say("train",
           absl::StrCat("num. model params: ", model().parameter_count()));
  SPANLM_RETURN_IF_ERROR(Resume());
  return CheckOneUpdate();
}

absl::Status Trainer::CheckOneUpdate() {
  const at::Tensor updates = group_->Stack(
      at::full({1}, progress_.update, at::TensorOptions().dtype(at::kLong)));
  const auto first = updates[0].item<int64_t>();
  for (int64_t rank = 1; rank < updates.numel(); ++rank) {
    const auto update = updates[rank].item<int64_t>();
    if (update == first) continue;
    return absl::FailedPreconditionError(absl::StrCat(
        "process ", rank, " goes on from update ", update,
        " and the first one from update ", first, ": --save-dir ",
        options_.save_dir, " must be one folder that all processes read"));
  }
  return absl::OkStatus();
}

absl::Status Trainer::Resume() {
  const std::string restore =
      FindCheckpoint(options_.save_dir, options_.restore_file);
  if (!restore.empty()) {
    std::vector<std::string> changes;
    SPANLM_ASSIGN_OR_RETURN(
        progress_,
        RestoreTraining(restore, run_facts(), learner_.get(), &changes));
    for (const std::string& change : changes) {
      log_.Say("train", absl::StrCat("goes on with another ", change));
    }
    SPANLM_RETURN_IF_ERROR(Named(restore, batcher_.Seek(progress_.position)));
    seconds_before_ = seconds_ = progress_.seconds;
    log_.Say("train", absl::StrCat("going on from ", restore, " at update ",
                                   progress_.update));
    return absl::OkStatus();
  }
  if (absl::StripSuffix(options_.restore_file, ".pt") != kLastCheckpoint) {
    return absl::NotFoundError(absl::StrCat(
        "--restore-file ", options_.restore_file, ": no such directory"));
  }
  if (options_.finetune_from_model.empty()) return absl::OkStatus();
  const std::string start =
      FindCheckpoint(options_.save_dir, options_.finetune_from_model);
  if (start.empty()) {
    return absl::NotFoundError(absl::StrCat(
        "--finetune-from-model ", options_.finetune_from_model,
        ": no such model directory (spanlm-train import makes one of another "
        "program's checkpoint)"));
  }
  log_.Say("train", absl::StrCat("starting with the weights of ", start));
  return StartFromModel(start, learner_.get());
}

void Trainer::MeetOthers() {
  seconds_ = seconds_before_ + absl::ToDoubleSeconds(absl::Now() - start_);
  stops_ = stop_->load();
  if (group_->size() == 1) return;
  at::Tensor said = at::zeros({2}, at::TensorOptions().dtype(at::kDouble));
  said[0] = stops_ ? 1 : 0;
  said[1] = group_->is_first() ? seconds_ : 0;
  group_->Sum(said);
  stops_ = said[0].item<double>() > 0;
  seconds_ = said[1].item<double>();
}

RunFacts Trainer::run_facts() const {
  return {options_, corpus_.train(),
          RowsOf(options_, corpus_, group_->rank(), group_->size())};
}

double Trainer::next_lr() const {
  return LearningRate(options_.schedule, progress_.update + 1, seconds_);
}

void Trainer::ExposeState() {
  metrics_->SetState(progress_.update, next_lr(), learner_->scaler().scale(),
                     span_figures().average);
}

double Trainer::epochs() const {
  return static_cast<double>(batcher_.position().epoch - 1) +
         batcher_.pass_fraction();
}

LatestFigures Trainer::latest() const {
  return {progress_.update, next_lr(), learner_->scaler().scale(), seconds_};
}

SpanFigures Trainer::span_figures() const {
  SpanFigures figures;
  const std::vector<LayerWindow> windows = model().windows();
  for (const LayerWindow& window : windows) {
    figures.average += static_cast<double>(window.average_span) /
                       static_cast<double>(windows.size());
    figures.maximum = std::max<double>(figures.maximum, window.max_size);
  }
  return figures;
}

std::vector<StreamBatch> Trainer::NextBatches() {
  std::vector<StreamBatch> batches;
  do {
    batches.push_back(batcher_.Next());
  } while (static_cast<int32_t>(batches.size()) < options_.update_freq &&
           !batcher_.at_pass_end());
  return batches;
}

absl::Status Trainer::Explained(absl::Status status) const {
  const bool is_group = absl::StrContains(status.message(), "gloo") ||
                        absl::StrContains(status.message(), "NCCL");
  if (status.ok() || !is_group) return status;
  return absl::InternalError(absl::StrCat(
      "process ", group_->rank(), " of ", group_->size(),
      " lost another one, or the way to it, after update ", progress_.update,
      "; what was saved stays, start them again to go on (", status.message(),
      ")"));
}

absl::StatusOr<UpdateReport> Trainer::Update() {
  return GuardTorch("update", [&]() -> absl::StatusOr<UpdateReport> {
    SPANLM_ASSIGN_OR_RETURN(
        const UpdateReport report,
        learner_->Update(NextBatches(), next_lr(), progress_.update + 1));
    if (!report.overflowed) ++progress_.update;
    progress_.position = batcher_.position();
    return report;
  });
}

bool Trainer::limit_reached() const {
  const ScheduleOptions& schedule = options_.schedule;
  const auto passed = [](double limit, double value) {
    return limit > 0 && value >= limit;
  };
  return passed(static_cast<double>(schedule.max_update),
                static_cast<double>(progress_.update)) ||
         passed(schedule.max_seconds, seconds_) ||
         passed(options_.stop_time_hours, seconds_ / 3600) ||
         passed(options_.patience,
                static_cast<double>(progress_.worse_validations)) ||
         (batcher_.at_pass_end() &&
          passed(static_cast<double>(options_.max_epoch),
                 static_cast<double>(batcher_.position().epoch)));
}

void Trainer::LogUpdate(const UpdateReport& report, absl::Duration duration) {
  UpdateFigures figures;
  figures.report = report;
  figures.spans = span_figures();
  figures.duration = duration;
  meters_.Add(figures);
  epoch_meters_.Add(figures);
  if (progress_.update % options_.log_interval != 0) return;
  LogRecord record;
  record.Integer("epoch", batcher_.position().epoch)
      .Decimal("update", epochs(), 3);
  meters_.Append("", latest(), &record);
  log_.Write("train_inner", record);
  meters_.Reset();
}

absl::StatusOr<TrainEnd> Trainer::SaveAndStop() {
  SPANLM_RETURN_IF_ERROR(Save(kLastCheckpoint));
  log_.Say("train", absl::StrCat("stopped at update ", progress_.update,
                                 "; start again to go on"));
  return TrainEnd::kStopped;
}

bool Trainer::shows_progress() const {
  return group_->is_first() && options_.schedule.max_update > 0;
}

absl::StatusOr<TrainEnd> Trainer::Run() {
  absl::StatusOr<TrainEnd> end =
      GuardTorch("training", [&] { return RunToLimit(); });
  if (!end.ok()) return Explained(end.status());
  return end;
}

absl::StatusOr<TrainEnd> Trainer::RunToLimit() {
  const auto due = [&](int32_t interval) {
    return interval > 0 && progress_.update % interval == 0;
  };
  MeetOthers();
  if (metrics_ != nullptr) ExposeState();
  if (limit_reached() && progress_.validated_update == progress_.update) {
    log_.Say("train", absl::StrCat("nothing left to do: ended at update ",
                                   progress_.update, " already"));
    return TrainEnd::kDone;
  }
  if (shows_progress()) {
    line_ = std::make_unique<ProgressLine>(
        "train", options_.schedule.max_update, "updates");
    log_.ShareTerminal(line_.get());
  }
  // What a stop cut off comes first.
  if (progress_.validation_pending && !limit_reached()) {
    progress_.validation_pending = false;
    SPANLM_RETURN_IF_ERROR(batcher_.at_pass_end() ? EndPass(false)
                                                  : ValidateAndKeepBest());
    MeetOthers();
  }
  while (!limit_reached()) {
    if (stops_) return SaveAndStop();
    const absl::Time begin = absl::Now();
    SPANLM_ASSIGN_OR_RETURN(const UpdateReport report, Update());
    MeetOthers();
    if (metrics_ != nullptr) {
      metrics_->CountUpdate(report, absl::Now() - begin);
      ExposeState();
    }
    if (report.overflowed) {
      log_.Say("train", absl::StrCat("gradients overflow; loss scale is now ",
                                     learner_->scaler().scale()));
    } else {
      LogUpdate(report, absl::Now() - begin);
    }
    SPANLM_RETURN_IF_ERROR(log_.status());
    if (line_ != nullptr) {
      line_->Update(progress_.update,
                    absl::StrFormat("%.3f bits per symbol",
                                    report.nats / M_LN2 /
                                        static_cast<double>(report.scored)));
    }
    if (limit_reached()) break;
    if (batcher_.at_pass_end()) {
      SPANLM_RETURN_IF_ERROR(EndPass(false));
      MeetOthers();
      continue;
    }
    if (report.overflowed) continue;
    if (due(options_.validate_interval_updates)) {
      SPANLM_RETURN_IF_ERROR(ValidateAndKeepBest());
    }
    if (due(options_.save_interval_updates)) {
      SPANLM_RETURN_IF_ERROR(SaveUpdate());
    }
  }
  SPANLM_RETURN_IF_ERROR(EndPass(true));
  return stops_ && progress_.validation_pending ? SaveAndStop()
                                                : TrainEnd::kDone;
}

}  // namespace spanlm
