// SPDX-License-Identifier: Apache-2.0
// What a run needs to go on as if it had never stopped, beside the weights:
// the files training.safetensors and training.json of its model directory.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/checkpoint/model_dir.h"
#include "engine/model/byte_model.h"
#include "train/optimizer.h"
#include "train/stream_batcher.h"
#include "train/train_options.h"

namespace spanlm {

// Everything but tensors. Dropout needs nothing here: each update seeds the
// generator with the run's seed plus its own number.
struct TrainProgress {
  int64_t update = 0;  // finished
  StreamPosition position;
  double seconds = 0;     // spent in updates, validation and saving
  double best_loss = -1;  // bits per byte of the best validation; −1: none yet
};

// Copies `tensor` into a value that owns its bytes.
TensorData ToTensorData(const std::string& name, const at::Tensor& tensor);

// Model, optimizer, memory and progress as the contents of a model directory.
absl::StatusOr<ModelContents> ContentsOf(const ByteModel& model,
                                         const Optimizer& optimizer,
                                         const ModelMemory& memory,
                                         const TrainProgress& progress,
                                         const TrainOptions& options);

// Fills model, optimizer and memory from the directory `path` and returns its
// progress. kFailedPrecondition: a directory without training state, or of a
// run with another model, batch, block, seed, optimizer or precision (named);
// ModelDir::Open's errors.
absl::StatusOr<TrainProgress> RestoreTraining(const std::string& path,
                                              const TrainOptions& options,
                                              ByteModel* model,
                                              Optimizer* optimizer,
                                              ModelMemory* memory);

}  // namespace spanlm
