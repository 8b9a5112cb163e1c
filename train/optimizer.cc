// SPDX-License-Identifier: Apache-2.0
#include "train/optimizer.h"

#include <ATen/Dispatch.h>
#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "engine/model/adaptive_span.h"

namespace spanlm {
namespace {

std::vector<at::Tensor> ZerosLike(const std::vector<NamedTensor>& parameters) {
  std::vector<at::Tensor> zeros;
  for (const NamedTensor& parameter : parameters) {
    zeros.push_back(at::zeros_like(parameter.tensor.detach()));
  }
  return zeros;
}

double GlobalNorm(const std::vector<double>& norms) {
  double squares = 0;
  for (const double norm : norms) squares += norm * norm;
  return std::sqrt(squares);
}

// Sukhbaatar et al.'s Adagrad: a tensor whose gradient norm is over the clip
// takes a smaller step; its sum of squares grows by the whole gradient.
class AdagradWithGradClip : public Optimizer {
 public:
  AdagradWithGradClip(const OptimizerOptions& options,
                      const std::vector<NamedTensor>& parameters)
      : Optimizer(parameters),
        options_(options),
        sums_(ZerosLike(parameters)) {}

  StepReport Step(double lr, const std::vector<double>& norms) override {
    at::NoGradGuard no_grad;
    const double clip = options_.adagrad_clip;
    ForPieces(pieces_, [&](int64_t, const ParameterPiece& piece) {
      const double norm = norms[piece.tensor];
      Move(piece, clip > 0 && norm > clip ? lr * (clip / (norm + 1e-10)) : lr);
    });
    ++step_count_;
    return {GlobalNorm(norms), false};
  }

  std::vector<NamedTensor> State() const override {
    std::vector<NamedTensor> state;
    for (size_t i = 0; i < sums_.size(); ++i) {
      state.push_back(
          {absl::StrCat("adagrad_sum.", parameters_[i].name), sums_[i]});
    }
    return state;
  }

 private:
  void Move(const ParameterPiece& piece, double rate) {
    const at::Tensor& parameter = parameters_[piece.tensor].tensor;
    const at::Tensor gradient = parameter.grad();
    if (!gradient.defined()) return;
    if (!parameter.is_cpu()) {
      const at::Tensor x = piece.Of(gradient);
      at::Tensor sum = piece.Of(sums_[piece.tensor]).addcmul_(x, x);
      piece.Of(parameter.detach()).addcdiv_(x, sum.sqrt().add_(1e-10), -rate);
      return;
    }
    AT_DISPATCH_FLOATING_TYPES(parameter.scalar_type(), "Adagrad", [&] {
      scalar_t* p = parameter.data_ptr<scalar_t>();
      const scalar_t* g = gradient.const_data_ptr<scalar_t>();
      scalar_t* s = sums_[piece.tensor].data_ptr<scalar_t>();
      const scalar_t r = static_cast<scalar_t>(rate);
      for (int64_t i = piece.begin; i < piece.end; ++i) {
        // Rounded once, as the published code's fused sum is.
        s[i] = static_cast<scalar_t>(s[i] + double{g[i]} * g[i]);
        p[i] -= r * g[i] / (std::sqrt(s[i]) + static_cast<scalar_t>(1e-10));
      }
    });
  }

  const OptimizerOptions options_;
  std::vector<at::Tensor> sums_;
};

// Adam with a clip of the global norm and decoupled weight decay on matrices.
// A learned span's gradient is clipped on its own: it has a pole where the mask
// all but hides what its head attends to, and then says nothing of how far to
// move anything else (docs/model.md, 1.3).
class Adam : public Optimizer {
 public:
  Adam(const OptimizerOptions& options,
       const std::vector<NamedTensor>& parameters)
      : Optimizer(parameters),
        options_(options),
        means_(ZerosLike(parameters)),
        squares_(ZerosLike(parameters)) {}

  StepReport Step(double lr, const std::vector<double>& norms) override {
    at::NoGradGuard no_grad;
    std::vector<double> clipped_together = norms;
    for (size_t i = 0; i < norms.size(); ++i) {
      if (IsSpan(parameters_[i].name)) clipped_together[i] = 0;
    }
    StepReport report{GlobalNorm(clipped_together), false};
    const double factor = ClipFactor(report.gradient_norm);
    report.clipped = factor < 1;
    ++step_count_;
    ForPieces(pieces_, [&](int64_t, const ParameterPiece& piece) {
      const bool is_span = IsSpan(parameters_[piece.tensor].name);
      Move(piece, lr, is_span ? ClipFactor(norms[piece.tensor]) : factor);
    });
    return report;
  }

  std::vector<NamedTensor> State() const override {
    std::vector<NamedTensor> state;
    for (size_t i = 0; i < means_.size(); ++i) {
      const std::string& name = parameters_[i].name;
      state.push_back({absl::StrCat("adam_m.", name), means_[i]});
      state.push_back({absl::StrCat("adam_v.", name), squares_[i]});
    }
    return state;
  }

 private:
  double ClipFactor(double norm) const {
    if (options_.clip_norm == 0) return 1;
    return std::min(1.0, options_.clip_norm / (norm + options_.clip_epsilon));
  }

  void Move(const ParameterPiece& piece, double lr, double factor) {
    const at::Tensor& parameter = parameters_[piece.tensor].tensor;
    const at::Tensor gradient = parameter.grad();
    if (!gradient.defined()) return;
    const double steps = static_cast<double>(step_count_);
    const double correct1 = 1 - std::pow(options_.beta1, steps);
    const double correct2 = std::sqrt(1 - std::pow(options_.beta2, steps));
    const double eps = options_.eps_place == AdamEps::kAfterCorrection
                           ? options_.adam_eps
                           : options_.adam_eps / correct2;
    const double decay = parameter.dim() == 2 ? options_.weight_decay * lr : 0;
    if (!parameter.is_cpu()) {
      const at::Tensor x = piece.Of(gradient) * factor;
      at::Tensor mean = piece.Of(means_[piece.tensor]);
      at::Tensor square = piece.Of(squares_[piece.tensor]);
      mean.mul_(options_.beta1).add_(x, 1 - options_.beta1);
      square.mul_(options_.beta2).addcmul_(x, x, 1 - options_.beta2);
      piece.Of(parameter.detach())
          .mul_(1 - decay)
          .addcdiv_(mean, square.sqrt().div_(correct2).add_(eps),
                    -lr / correct1);
      return;
    }
    AT_DISPATCH_FLOATING_TYPES(parameter.scalar_type(), "Adam", [&] {
      scalar_t* p = parameter.data_ptr<scalar_t>();
      const scalar_t* g = gradient.const_data_ptr<scalar_t>();
      scalar_t* m = means_[piece.tensor].data_ptr<scalar_t>();
      scalar_t* v = squares_[piece.tensor].data_ptr<scalar_t>();
      const scalar_t beta1 = options_.beta1, beta2 = options_.beta2;
      // In double: 1 - 0.999 in float is off by 1e-5 of itself.
      const scalar_t fresh1 = 1 - options_.beta1, fresh2 = 1 - options_.beta2;
      const scalar_t rate = lr / correct1, scale = factor;
      const scalar_t root = 1 / correct2, small = eps;
      const scalar_t keep = 1 - decay;
      for (int64_t i = piece.begin; i < piece.end; ++i) {
        const scalar_t x = g[i] * scale;
        m[i] = beta1 * m[i] + fresh1 * x;
        v[i] = beta2 * v[i] + fresh2 * x * x;
        p[i] = p[i] * keep - rate * m[i] / (std::sqrt(v[i]) * root + small);
      }
    });
  }

  const OptimizerOptions options_;
  std::vector<at::Tensor> means_, squares_;
};

}  // namespace

std::vector<double> Optimizer::GradientNorms() const {
  std::vector<double> piece_norms(pieces_.size());
  ForPieces(pieces_, [&](int64_t i, const ParameterPiece& piece) {
    const at::Tensor gradient = parameters_[piece.tensor].tensor.grad();
    if (!gradient.defined()) return;
    piece_norms[i] = at::linalg_vector_norm(piece.Of(gradient)).item<double>();
  });
  std::vector<double> norms(parameters_.size());
  for (size_t i = 0; i < pieces_.size(); ++i) {
    double& norm = norms[pieces_[i].tensor];
    norm = std::hypot(norm, piece_norms[i]);
  }
  return norms;
}

absl::Status Optimizer::Restore(const TensorSource& source,
                                int64_t step_count) {
  for (const NamedTensor& tensor : State()) {
    SPANLM_RETURN_IF_ERROR(CopyFrom(source, tensor.name, tensor.tensor));
  }
  step_count_ = step_count;
  return absl::OkStatus();
}

std::unique_ptr<Optimizer> NewOptimizer(
    const OptimizerOptions& options,
    const std::vector<NamedTensor>& parameters) {
  if (options.kind == OptimizerKind::kAdam) {
    return std::make_unique<Adam>(options, parameters);
  }
  return std::make_unique<AdagradWithGradClip>(options, parameters);
}

}  // namespace spanlm
