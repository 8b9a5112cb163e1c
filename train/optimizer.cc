// SPDX-License-Identifier: Apache-2.0
#include "train/optimizer.h"

#include <ATen/Dispatch.h>
#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>

#include <cmath>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace spanlm {
namespace {

constexpr int64_t kGrain = 1 << 14;  // elements a thread takes at least

double Norm(const at::Tensor& gradient) {
  return at::linalg_vector_norm(gradient).item<double>();
}

std::vector<at::Tensor> ZerosLike(const std::vector<NamedTensor>& parameters) {
  std::vector<at::Tensor> zeros;
  for (const NamedTensor& parameter : parameters) {
    zeros.push_back(at::zeros_like(parameter.tensor.detach()));
  }
  return zeros;
}

// Calls body(i, n) for pieces of [0, tensor.numel()), by any thread.
template <typename Body>
void ForPieces(const at::Tensor& tensor, Body&& body) {
  at::parallel_for(0, tensor.numel(), kGrain,
                   [&](int64_t begin, int64_t end) { body(begin, end); });
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

  StepReport Step(double lr) override {
    at::NoGradGuard no_grad;
    double squares = 0;
    for (size_t i = 0; i < parameters_.size(); ++i) {
      if (!parameters_[i].tensor.grad().defined()) continue;
      const at::Tensor gradient = parameters_[i].tensor.grad().contiguous();
      const double norm = Norm(gradient);
      squares += norm * norm;
      double rate = lr;
      if (options_.adagrad_clip > 0 && norm > options_.adagrad_clip) {
        rate *= options_.adagrad_clip / (norm + 1e-10);
      }
      Move(parameters_[i].tensor, gradient, sums_[i], rate);
    }
    ++step_count_;
    return {std::sqrt(squares), false};
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
  static void Move(const at::Tensor& parameter, const at::Tensor& gradient,
                   const at::Tensor& sum, double rate) {
    AT_DISPATCH_FLOATING_TYPES(parameter.scalar_type(), "Adagrad", [&] {
      scalar_t* p = parameter.data_ptr<scalar_t>();
      const scalar_t* g = gradient.const_data_ptr<scalar_t>();
      scalar_t* s = sum.data_ptr<scalar_t>();
      const scalar_t r = static_cast<scalar_t>(rate);
      ForPieces(parameter, [=](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
          s[i] += g[i] * g[i];
          p[i] -= r * g[i] / (std::sqrt(s[i]) + static_cast<scalar_t>(1e-10));
        }
      });
    });
  }

  const OptimizerOptions options_;
  std::vector<at::Tensor> sums_;
};

// Adam with both moments corrected before eps is added, a clip of the global
// norm and decoupled weight decay on matrices.
class Adam : public Optimizer {
 public:
  Adam(const OptimizerOptions& options,
       const std::vector<NamedTensor>& parameters)
      : Optimizer(parameters),
        options_(options),
        means_(ZerosLike(parameters)),
        squares_(ZerosLike(parameters)) {}

  StepReport Step(double lr) override {
    at::NoGradGuard no_grad;
    double squares = 0;
    for (const NamedTensor& parameter : parameters_) {
      if (!parameter.tensor.grad().defined()) continue;
      const double norm = Norm(parameter.tensor.grad());
      squares += norm * norm;
    }
    StepReport report{std::sqrt(squares), false};
    double factor = 1;
    if (options_.clip_norm > 0) {
      factor = options_.clip_norm / (report.gradient_norm + 1e-6);
      report.clipped = factor < 1;
      if (!report.clipped) factor = 1;
    }
    ++step_count_;
    for (size_t i = 0; i < parameters_.size(); ++i) {
      if (parameters_[i].tensor.grad().defined()) Move(i, lr, factor);
    }
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
  void Move(size_t index, double lr, double factor) {
    const at::Tensor& parameter = parameters_[index].tensor;
    const at::Tensor gradient = parameter.grad().contiguous();
    const double steps = static_cast<double>(step_count_);
    const double correct1 = 1 - std::pow(options_.beta1, steps);
    const double correct2 = std::sqrt(1 - std::pow(options_.beta2, steps));
    const double decay = parameter.dim() == 2 ? options_.weight_decay * lr : 0;
    AT_DISPATCH_FLOATING_TYPES(parameter.scalar_type(), "Adam", [&] {
      scalar_t* p = parameter.data_ptr<scalar_t>();
      const scalar_t* g = gradient.const_data_ptr<scalar_t>();
      scalar_t* m = means_[index].data_ptr<scalar_t>();
      scalar_t* v = squares_[index].data_ptr<scalar_t>();
      const scalar_t beta1 = options_.beta1, beta2 = options_.beta2;
      const scalar_t rate = lr / correct1, scale = factor;
      const scalar_t root = 1 / correct2, eps = options_.adam_eps;
      const scalar_t keep = 1 - decay;
      ForPieces(parameter, [=](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
          const scalar_t x = g[i] * scale;
          m[i] = beta1 * m[i] + (1 - beta1) * x;
          v[i] = beta2 * v[i] + (1 - beta2) * x * x;
          p[i] = p[i] * keep - rate * m[i] / (std::sqrt(v[i]) * root + eps);
        }
      });
    });
  }

  const OptimizerOptions options_;
  std::vector<at::Tensor> means_, squares_;
};

}  // namespace

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
