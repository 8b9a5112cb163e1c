// SPDX-License-Identifier: Apache-2.0
// The training loop: reads batches, has the learner step, says when to
// validate, to log and to save.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "engine/model/byte_model.h"
#include "train/corpus.h"
#include "train/learner.h"
#include "train/process_group.h"
#include "train/progress_line.h"
#include "train/stream_batcher.h"
#include "train/train_log.h"
#include "train/train_meters.h"
#include "train/train_metrics.h"
#include "train/train_options.h"
#include "train/train_state.h"

namespace spanlm {

enum class TrainEnd {
  kDone,     // a limit of the options was reached
  kStopped,  // asked to stop; saved
};

// One process's part of a run; the first process logs and saves. Owns learner
// and data. Every method is one guarded call of LibTorch, made by all processes
// alike. One thread at a time.
class Trainer {
 public:
  // Opens the corpus, makes the model and, where the options' restore_file
  // exists, goes on from it. `stop` and `group` must outlive the trainer.
  static absl::StatusOr<std::unique_ptr<Trainer>> Create(
      const TrainOptions& options, const std::atomic<bool>* stop,
      ProcessGroup* group);

  // Updates until a limit is reached or any process's *stop is true; then
  // validates (but not when stopped) and saves. A run that was at its limit
  // already only says so. kInternal: Learner::Update's, a loss or parameter
  // that is not finite, or a lost process (nothing is saved then);
  // kUnavailable: I/O.
  absl::StatusOr<TrainEnd> Run();

  // One update, without logging, validating or saving. In half precision it
  // may be one that was skipped.
  absl::StatusOr<UpdateReport> Update();
  // Writes `name` inside save_dir.
  absl::Status Save(const std::string& name);

  const Learner& learner() const { return *learner_; }
  const ByteModel& model() const { return learner_->model(); }
  const TrainProgress& progress() const { return progress_; }

 private:
  Trainer(const TrainOptions& options, const std::atomic<bool>* stop,
          ProcessGroup* group, Corpus corpus, StreamBatcher batcher,
          TrainLog log);

  absl::Status Start();
  absl::Status Resume();
  // kFailedPrecondition where processes go on from different updates.
  absl::Status CheckOneUpdate();
  // Up to update_freq consecutive batches of one pass.
  std::vector<StreamBatch> NextBatches();
  absl::StatusOr<TrainEnd> RunToLimit();
  absl::StatusOr<TrainEnd> SaveAndStop();
  bool shows_progress() const;
  // Says of an error of the group's what it means.
  absl::Status Explained(absl::Status status) const;
  // Makes one decision of what the processes see: whether any is to stop, and
  // the first one's clock.
  void MeetOthers();
  // Where a stop cuts it off, nothing has changed but that it is pending.
  absl::Status ValidateAndKeepBest();
  // Says that the valid part gives no symbol to score; kInvalidArgument where
  // --patience needs one.
  absl::Status ReportUnscoredValid();
  void LogSpans();
  // Saves checkpoint_last, then logs what serving makes of the valid range's
  // first 64 KiB; that the check fails ends no run.
  absl::Status SaveAndCheckServing();
  absl::Status LogServing();
  // A save between the ends of passes, under a name of its own too.
  absl::Status SaveUpdate();
  absl::Status EndPass(bool is_last);
  void LogUpdate(const UpdateReport& report, absl::Duration duration);
  bool limit_reached() const;
  bool is_adaptive_span() const {
    return options_.model.architecture == Architecture::kAdaptiveSpan;
  }
  RunFacts run_facts() const;
  double next_lr() const;
  // Needs metrics_.
  void ExposeState();
  // Epochs completed, as a fraction.
  double epochs() const;
  LatestFigures latest() const;
  SpanFigures span_figures() const;

  const TrainOptions options_;
  const std::atomic<bool>* const stop_;
  ProcessGroup* const group_;
  Corpus corpus_;
  StreamBatcher batcher_;
  TrainLog log_;
  std::unique_ptr<ProgressLine> line_;     // null: none is shown
  std::unique_ptr<TrainMetrics> metrics_;  // null: nobody listens
  std::unique_ptr<Learner> learner_;
  TrainProgress progress_;
  TrainMeters meters_;
  TrainMeters epoch_meters_;
  absl::Time start_;
  double seconds_before_ = 0;
  double seconds_ = 0;  // of training, earlier runs included
  bool stops_ = false;  // a process was asked to stop
};

}  // namespace spanlm
