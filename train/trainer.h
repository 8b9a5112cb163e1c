// SPDX-License-Identifier: Apache-2.0
// The training loop: block, loss, backward, clip, step, clamp; says when to
// validate and to save.
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
#include "train/optimizer.h"
#include "train/parameter_pieces.h"
#include "train/row_parts.h"
#include "train/stream_batcher.h"
#include "train/train_log.h"
#include "train/train_meters.h"
#include "train/train_options.h"
#include "train/train_state.h"
#include "train/validate.h"

namespace spanlm {

enum class TrainEnd {
  kDone,     // a limit of the options was reached
  kStopped,  // asked to stop; saved
};

// One update's figures.
struct UpdateReport {
  double loss_nats = 0;  // mean over the block's symbols
  double span_loss = 0;  // λ times the spans' sum; 0 for Transformer-XL
  StepReport step;
};

// Owns model, optimizer and data. Every method is one guarded call of LibTorch.
// One thread at a time.
class Trainer {
 public:
  // Opens the corpus, makes the model and, where the options' restore_file
  // exists, goes on from it. `stop` must outlive the trainer.
  static absl::StatusOr<std::unique_ptr<Trainer>> Create(
      const TrainOptions& options, const std::atomic<bool>* stop);

  // Updates until a limit is reached or *stop is true; then validates (but not
  // when stopped) and saves. kInternal: the loss is no longer finite (update
  // named; nothing is saved then); kUnavailable: I/O.
  absl::StatusOr<TrainEnd> Run();

  // One update, without logging, validating or saving.
  absl::StatusOr<UpdateReport> Update();
  // Writes `name` inside save_dir.
  absl::Status Save(const std::string& name);

  const ByteModel& model() const { return *model_; }
  const Optimizer& optimizer() const { return *optimizer_; }
  const TrainProgress& progress() const { return progress_; }

 private:
  Trainer(const TrainOptions& options, const std::atomic<bool>* stop,
          Corpus corpus, StreamBatcher batcher, TrainLog log);

  absl::Status Start();
  UpdateReport Compute(const StreamBatch& batch);
  void StartMemories();
  // Sums the parts' gradients of each parameter into its grad().
  void TakeGradients(std::vector<std::vector<at::Tensor>>* parts_gradients);
  absl::Status ValidateAndKeepBest();
  // Saves checkpoint_last, then logs what serving makes of the valid range's
  // first 64 KiB; that the check fails ends no run.
  absl::Status SaveAndCheckServing();
  absl::Status EndPass();
  bool limit_reached() const;
  double seconds() const;  // of training, earlier runs included
  double next_lr() const;
  // Epochs completed, as a fraction.
  double epochs() const;
  SpanFigures span_figures() const;

  const TrainOptions options_;
  const std::atomic<bool>* const stop_;
  Corpus corpus_;
  StreamBatcher batcher_;
  TrainLog log_;
  std::unique_ptr<ByteModel> model_;
  std::unique_ptr<Optimizer> optimizer_;
  PassOptions pass_;
  std::vector<RowPart> parts_;
  std::vector<ParameterPiece> pieces_;
  std::vector<ModelMemory> memories_;  // one for each part
  TrainProgress progress_;
  TrainMeters meters_;
  TrainMeters epoch_meters_;
  absl::Time start_;
  double seconds_before_ = 0;
};

}  // namespace spanlm
