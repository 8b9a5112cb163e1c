// SPDX-License-Identifier: Apache-2.0
// Everything a training run is told, checked once and constant afterwards.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/model/layers.h"
#include "engine/model_config.h"
#include "train/checkpoints.h"
#include "train/corpus.h"
#include "train/loss_scaler.h"
#include "train/optimizer.h"
#include "train/schedule.h"
#include "train/semantics.h"

namespace spanlm {

struct TrainOptions {
  std::string data;  // a raw corpus or a binary data directory
  std::string save_dir = "checkpoints";
  // A model directory with training state, by path or by its name in save_dir.
  std::string restore_file = kLastCheckpoint;
  // A model whose weights a new run starts with; empty: none.
  std::string finetune_from_model;

  SemanticsKind semantics_kind = SemanticsKind::kOriginal;
  Semantics semantics;
  ModelFields model;
  double adapt_span_init = 0;     // every head's span at the start, of S
  double aux_loss_scaler = 2e-6;  // λ of the span loss
  DropoutRates dropout;

  int32_t tokens_per_sample = 512;  // block
  int32_t batch_size = 64;          // rows of each process
  int32_t update_freq = 1;          // batches of an update
  OptimizerOptions optimizer;
  ScheduleOptions schedule;    // its max_update ends the run too
  LossScalerOptions scaler;    // half precision
  int64_t max_epoch = 0;       // 0: no limit
  double stop_time_hours = 0;  // of this and earlier runs; 0: no limit
  // Validations without a better one after which to end; 0: no limit.
  int32_t patience = 0;
  uint64_t seed = 1;

  int32_t log_interval = 100;             // updates
  bool log_to_stdout = true;              // --log-format json, else none
  int32_t validate_interval_updates = 0;  // 0: at ends of passes only
  int32_t save_interval_updates = 0;      // 0: at ends of passes only
  int32_t validate_interval = 1;          // passes
  int32_t save_interval = 1;              // passes
  int32_t keep_last_epochs = -1;          // checkpoint<epoch>; below 1: all
  int32_t keep_interval_updates = -1;  // checkpoint_<epoch>_<update>; the same
  bool epoch_checkpoints = true;       // whether to write checkpoint<epoch>
  int64_t valid_bytes = 0;     // of the valid part, from its start; 0: all
  std::string metrics_listen;  // host:port of Prometheus metrics; empty: none
  Precision precision = Precision::kFull;
  int32_t threads = 0;  // 0: one for each core allowed
};

// kInvalidArgument names the flag, its value and the bound.
absl::Status CheckTrainOptions(const TrainOptions& options);

// The config of the model to train: that of `options.model` with the corpus's
// symbols. kInvalidArgument as ModelConfig::Create.
absl::StatusOr<ModelConfig> ConfigToTrain(const TrainOptions& options,
                                          const Corpus& corpus);

// The rows that process `rank` of `processes` reads of `corpus`.
BatchOptions RowsOf(const TrainOptions& options, const Corpus& corpus, int rank,
                    int processes);

}  // namespace spanlm
