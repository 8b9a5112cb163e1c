// SPDX-License-Identifier: Apache-2.0
// A model in training: batches in, moved parameters out.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/model/byte_model.h"
#include "train/gradient_buckets.h"
#include "train/loss_scaler.h"
#include "train/optimizer.h"
#include "train/process_group.h"
#include "train/row_parts.h"
#include "train/semantics.h"
#include "train/stream_batcher.h"

namespace spanlm {

struct LearnerOptions {
  OptimizerOptions optimizer;
  LossScalerOptions scaler;  // kHalf only
  int32_t update_freq = 1;   // batches of an update
  Precision precision = Precision::kFull;
  DropoutRates dropout;
  SpanClamp span_clamp = SpanClamp::kAfterStep;
  double aux_loss_scaler = 0;  // λ of the span loss
  uint64_t seed = 1;           // of dropout
};

// One update's figures, of all processes together.
struct UpdateReport {
  double nats = 0;        // Σ −ln P of the scored symbols
  int64_t scored = 0;     // symbols
  int64_t positions = 0;  // symbols and positions without a target
  double span_loss = 0;   // λ times the spans' sum; 0 for Transformer-XL
  StepReport step;
  bool overflowed = false;  // kHalf: nothing was moved
};

// Owns the model, its optimizer and its rows' memory. In half precision the
// model holds rounded copies of the parameters that the optimizer moves.
// Methods throw what LibTorch throws; callers stand under GuardTorch. One
// thread at a time.
class Learner {
 public:
  // `row_count` rows of this process; `group` is lent. The model moves to the
  // group's device; the first process's parameters become everyone's.
  Learner(const LearnerOptions& options, std::unique_ptr<ByteModel> model,
          int64_t row_count, ProcessGroup* group);

  // One step from consecutive batches, whose gradients are averaged; `update`,
  // counted from 1, and the seed decide what is dropped. kInternal: a loss that
  // is not finite (the parameter with the largest value named) or a gradient
  // (named), and in half precision a loss scale that cannot fall any more;
  // nothing was moved.
  absl::StatusOr<UpdateReport> Update(const std::vector<StreamBatch>& batches,
                                      double lr, int64_t update);
  // Forgets what was read.
  void StartMemories();
  // The optimizer's state and, in half precision, what it moves, for a resume.
  std::vector<NamedTensor> State() const;
  // Takes over the tensors that State() names. kNotFound or kDataLoss names
  // one.
  absl::Status Restore(const TensorSource& source, int64_t step_count);
  // kInternal names a parameter that is not finite.
  absl::Status CheckParameters() const;
  // After the model's parameters were set by another hand.
  void GiveParameters();

  ByteModel* mutable_model() { return model_.get(); }
  const ByteModel& model() const { return *model_; }
  const Optimizer& optimizer() const { return *optimizer_; }
  LossScaler* mutable_scaler() { return &scaler_; }
  const LossScaler& scaler() const { return scaler_; }
  // Of this process's rows, one for each of MakeRowParts.
  std::vector<ModelMemory>* memories() { return &memories_; }
  const std::vector<RowPart>& parts() const { return parts_; }
  // The gradients of the last update, unscaled and averaged, in the order of
  // the parameters.
  std::vector<NamedTensor> gradients() const;

 private:
  // Adds batch `index`'s gradients, scaled, to the update's.
  void Accumulate(const std::vector<StreamBatch>& batches, size_t index,
                  int64_t update, UpdateReport* report);
  // Makes means of the sums over processes and batches, without loss scale.
  void AverageGradients(size_t batch_count);
  // Half precision: the model's parameters become what the optimizer moves,
  // rounded.
  void TakeParameters();
  absl::Status CheckFinite(const UpdateReport& report,
                           const std::vector<double>& norms,
                           int64_t update) const;

  const LearnerOptions options_;
  std::unique_ptr<ByteModel> model_;
  ProcessGroup* const group_;
  const int64_t row_count_;
  std::unique_ptr<Optimizer> optimizer_;
  LossScaler scaler_;
  PassOptions pass_;
  std::vector<RowPart> parts_;
  GradientBuckets gradients_;
  std::vector<ModelMemory> memories_;
};

}  // namespace spanlm
