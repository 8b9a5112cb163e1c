// SPDX-License-Identifier: Apache-2.0
// Everything a training run is told, checked once and constant afterwards.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/model/layers.h"
#include "engine/model_config.h"
#include "train/optimizer.h"
#include "train/schedule.h"

namespace spanlm {

struct TrainOptions {
  std::string data;  // a raw corpus directory
  std::string save_dir = "checkpoints";
  // A model directory with training state, by path or by its name in save_dir.
  std::string restore_file = "checkpoint_last";

  ModelFields model;
  double adapt_span_init = 0;     // every head's span at the start, of S
  double aux_loss_scaler = 2e-6;  // λ of the span loss
  DropoutRates dropout;

  int32_t tokens_per_sample = 512;  // block
  int32_t batch_size = 64;          // rows
  OptimizerOptions optimizer;
  ScheduleOptions schedule;  // its max_update ends the run too
  int64_t max_epoch = 0;     // 0: no limit
  uint64_t seed = 1;

  int32_t log_interval = 100;             // updates
  bool log_to_stdout = true;              // --log-format json, else none
  int32_t validate_interval_updates = 0;  // 0: at ends of passes only
  int32_t save_interval_updates = 0;      // 0: at ends of passes only
  int64_t valid_bytes = 0;  // of the valid part, from its start; 0: all
  Precision precision = Precision::kFull;
  int32_t threads = 0;  // 0: one for each core allowed
};

// kInvalidArgument names the flag, its value and the bound.
absl::Status CheckTrainOptions(const TrainOptions& options);

// The config of the model to train: that of `options.model` over the 256
// bytes. kInvalidArgument as ModelConfig::Create.
absl::StatusOr<ModelConfig> ConfigToTrain(const TrainOptions& options);

}  // namespace spanlm
