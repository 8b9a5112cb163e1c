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
#include "train/parameter_pieces.h"

namespace spanlm {

enum class OptimizerKind { kAdagradWithGradClip, kAdam };
// Where Adam's eps is added to the root of the second moment: after that is
// corrected (torch.optim, kimiyoung) or before (fairseq). It matters where
// gradients are near eps.
enum class AdamEps { kAfterCorrection, kBeforeCorrection };

struct OptimizerOptions {
  OptimizerKind kind = OptimizerKind::kAdagradWithGradClip;
  double adagrad_clip = 0;  // of each tensor's gradient norm; 0: none
  double beta1 = 0.9;
  double beta2 = 0.999;
  double adam_eps = 1e-8;
  AdamEps eps_place = AdamEps::kAfterCorrection;
  // Adam: of the norm of all gradients but the spans', and of each span
  // tensor's; 0: none.
  double clip_norm = 0;
  // Added to a norm that is clipped; fairseq adds none in half precision.
  double clip_epsilon = 1e-6;
  double weight_decay = 0;  // Adam: decoupled, matrices only
};

// What a step did with the gradients.
struct StepReport {
  // Of all parameters together, before any clip; Adam's without the spans.
  double gradient_norm = 0;
  bool clipped = false;  // whether the global clip reduced it
};

// Steps the parameters it was made with. One thread at a time.
class Optimizer {
 public:
  virtual ~Optimizer() = default;

  // Moves every parameter that has a gradient, which must be dense. `norms` is
  // what GradientNorms() says of them.
  virtual StepReport Step(double lr, const std::vector<double>& norms) = 0;
  StepReport Step(double lr) { return Step(lr, GradientNorms()); }

  // The gradient's norm of each tensor; 0 for one without a gradient.
  std::vector<double> GradientNorms() const;

  // What it moves.
  const std::vector<NamedTensor>& parameters() const { return parameters_; }
  // The tensors a resume needs, shared with the optimizer.
  virtual std::vector<NamedTensor> State() const = 0;
  // How many steps were made; set by a resume.
  int64_t step_count() const { return step_count_; }
  // Takes over tensors that State() named. kNotFound or kDataLoss names one.
  absl::Status Restore(const TensorSource& source, int64_t step_count);

 protected:
  explicit Optimizer(const std::vector<NamedTensor>& parameters)
      : parameters_(parameters), pieces_(CutIntoPieces(parameters)) {}

  std::vector<NamedTensor> parameters_;
  std::vector<ParameterPiece> pieces_;
  int64_t step_count_ = 0;
};

std::unique_ptr<Optimizer> NewOptimizer(
    const OptimizerOptions& options,
    const std::vector<NamedTensor>& parameters);

}  // namespace spanlm
