// SPDX-License-Identifier: Apache-2.0
// From gradients to new parameters (docs/model.md, "optimizers").
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "engine/model/layers.h"
#include "engine/tensor_view.h"

namespace spanlm {

enum class OptimizerKind { kAdagradWithGradClip, kAdam };

struct OptimizerOptions {
  OptimizerKind kind = OptimizerKind::kAdagradWithGradClip;
  double adagrad_clip = 0;  // of each tensor's gradient norm; 0: none
  double beta1 = 0.9;
  double beta2 = 0.999;
  double adam_eps = 1e-8;
  double clip_norm = 0;     // Adam: of the global gradient norm; 0: none
  double weight_decay = 0;  // Adam: decoupled, matrices only
};

// What a step did with the gradients.
struct StepReport {
  double gradient_norm = 0;  // of all parameters together, before any clip
  bool clipped = false;      // whether the global clip reduced it
};

// Steps the parameters it was made with. One thread at a time.
class Optimizer {
 public:
  virtual ~Optimizer() = default;

  // Moves every parameter that has a gradient.
  virtual StepReport Step(double lr) = 0;

  // The tensors a resume needs, shared with the optimizer.
  virtual std::vector<NamedTensor> State() const = 0;
  // How many steps were made; set by a resume.
  int64_t step_count() const { return step_count_; }
  // Takes over tensors that State() named. kNotFound or kDataLoss names one.
  absl::Status Restore(const TensorSource& source, int64_t step_count);

 protected:
  explicit Optimizer(const std::vector<NamedTensor>& parameters)
      : parameters_(parameters) {}

  std::vector<NamedTensor> parameters_;
  int64_t step_count_ = 0;
};

std::unique_ptr<Optimizer> NewOptimizer(
    const OptimizerOptions& options,
    const std::vector<NamedTensor>& parameters);

}  // namespace spanlm
