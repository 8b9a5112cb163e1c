// SPDX-License-Identifier: Apache-2.0
#include "engine/model/layers.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"

namespace spanlm {
namespace {

constexpr double kLayerNormEpsilon = 1e-5;

absl::StatusOr<at::ScalarType> ScalarTypeOf(const TensorView& view) {
  switch (view.dtype) {
    case DType::kF16:
      return at::kHalf;
    case DType::kBF16:
      return at::kBFloat16;
    case DType::kF32:
      return at::kFloat;
    case DType::kF64:
      return at::kDouble;
    default:
      return absl::DataLossError(absl::StrCat("tensor ", view.name, " is ",
                                              std::string(Name(view.dtype)),
                                              ", not floating"));
  }
}

}  // namespace

at::ScalarType ComputeType(const at::Tensor& x, const PassOptions& pass) {
  return pass.precision == Precision::kBf16 ? at::kBFloat16 : x.scalar_type();
}

at::Tensor ToCompute(const at::Tensor& x, const PassOptions& pass) {
  // The way back rounds the gradient, too.
  if (pass.precision == Precision::kHalf) {
    return x.to(at::kHalf).to(x.scalar_type());
  }
  return x.to(ComputeType(x, pass));
}

at::Tensor Linear(const at::Tensor& x, const at::Tensor& weight,
                  const at::Tensor& bias, const PassOptions& pass) {
  const at::ScalarType type = x.scalar_type();
  const at::Tensor y = bias.defined()
                           ? at::linear(x, weight.to(type), bias.to(type))
                           : at::linear(x, weight.to(type));
  return pass.precision == Precision::kHalf ? ToCompute(y, pass) : y;
}

at::Tensor DropoutFactors(at::IntArrayRef shape,
                          const at::TensorOptions& options, double rate,
                          const PassOptions& pass) {
  if (rate == 0) return at::Tensor();
  at::NoGradGuard no_grad;
  at::Tensor factors = at::empty(shape, options);
  factors.bernoulli_(1 - rate, pass.generator);
  return factors.div_(1 - rate);
}

at::Tensor Dropout(const at::Tensor& x, double rate, const PassOptions& pass) {
  if (rate == 0) return x;
  return x * DropoutFactors(x.sizes(), x.options(), rate, pass);
}

at::Tensor LayerNorm(const at::Tensor& x, const Norm& norm,
                     const PassOptions& pass) {
  const at::Tensor y = at::layer_norm(x, {x.size(-1)}, norm.weight, norm.bias,
                                      kLayerNormEpsilon);
  // Under kBf16 the residual stream stays in float.
  return pass.precision == Precision::kHalf ? ToCompute(y, pass) : y;
}

at::Tensor Apply(const FeedForward& layer, const at::Tensor& x,
                 const PassOptions& pass) {
  const at::Tensor inner =
      at::relu(Linear(ToCompute(x, pass), layer.weight1, layer.bias1, pass));
  return Linear(Dropout(inner, pass.dropout.activation, pass), layer.weight2,
                layer.bias2, pass);
}

absl::Status CopyFrom(const TensorSource& source, const std::string& name,
                      at::Tensor target) {
  absl::StatusOr<TensorView> view = source.Find(name);
  if (!view.ok()) return view.status();
  absl::StatusOr<at::ScalarType> type = ScalarTypeOf(*view);
  if (!type.ok()) return type.status();
  if (at::IntArrayRef(view->shape) != target.sizes()) {
    return absl::DataLossError(
        absl::StrCat("tensor ", name, " is [", absl::StrJoin(view->shape, ", "),
                     "], want [", absl::StrJoin(target.sizes(), ", "), "]"));
  }
  at::NoGradGuard no_grad;
  at::Tensor copy = at::empty(view->shape, at::TensorOptions().dtype(*type));
  std::memcpy(copy.mutable_data_ptr(), view->bytes.data(), view->bytes.size());
  target.copy_(copy);
  return absl::OkStatus();
}

absl::Status LoadFinite(const TensorSource& source, const std::string& name,
                        at::Tensor target) {
  SPANLM_RETURN_IF_ERROR(CopyFrom(source, name, target));
  if (at::isfinite(target).all().item<bool>()) return absl::OkStatus();
  return absl::DataLossError(
      absl::StrCat("tensor ", name, " holds what is not a finite number"));
}

at::Tensor KeepLastRows(const at::Tensor& memory, const at::Tensor& input,
                        int64_t count) {
  at::NoGradGuard no_grad;
  const at::Tensor x = input.detach();
  const int64_t block = x.size(1);
  if (count <= block) return x.narrow(1, block - count, count).clone();
  const int64_t old = std::min(count - block, memory.size(1));
  return at::cat({memory.narrow(1, memory.size(1) - old, old), x}, 1);
}

}  // namespace spanlm
