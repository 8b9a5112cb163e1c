// SPDX-License-Identifier: Apache-2.0
// What a run needs to go on as if it had never stopped, beside the weights:
// the files training.safetensors and training.json of its model directory.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/checkpoint/model_dir.h"
#include "train/learner.h"
#include "train/stream_batcher.h"
#include "train/train_options.h"

namespace spanlm {

// Everything but the learner's. Dropout needs nothing here: each update seeds
// the generator with the run's seed plus its own number.
struct TrainProgress {
  int64_t update = 0;  // finished
  StreamPosition position;
  double seconds = 0;     // spent in updates, validation and saving
  double best_loss = -1;  // bits per symbol of the best validation; −1: none
  int64_t validated_update = -1;    // after which it was last validated
  int64_t worse_validations = 0;    // since the best one
  bool validation_pending = false;  // a stop cut it off
};

// What a run's state must fit. The options are lent.
struct RunFacts {
  const TrainOptions& options;
  SymbolText text;    // of training
  BatchOptions rows;  // this process's, of all
};

// Copies `tensor` into a value that owns its bytes.
TensorData ToTensorData(const std::string& name, const at::Tensor& tensor);

// Learner and progress as the contents of a model directory; `memory` is that
// of the rows of all processes.
absl::StatusOr<ModelContents> ContentsOf(const Learner& learner,
                                         const ModelMemory& memory,
                                         const TrainProgress& progress,
                                         const RunFacts& run);

// Fills the learner from the directory `path` and returns its progress.
// kFailedPrecondition: a directory without training state, or of a run with
// another model, text, number of rows, block, seed, optimizer, semantics or
// precision (named); ModelDir::Open's errors. `changes` gets a line for each
// setting that may change, and did.
absl::StatusOr<TrainProgress> RestoreTraining(
    const std::string& path, const RunFacts& run, Learner* learner,
    std::vector<std::string>* changes);

// Fills the learner's parameters, and nothing else, from a model directory.
// kFailedPrecondition: another model than the flags describe.
absl::Status StartFromModel(const std::string& path, Learner* learner);

}  // namespace spanlm
