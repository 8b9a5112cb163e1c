// SPDX-License-Identifier: Apache-2.0
// What both architectures are made of: products in the pass's precision, the
// feed-forward, dropout, norms.
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "engine/tensor_view.h"

namespace spanlm {

// A tensor of a model under its name in model.safetensors.
struct NamedTensor {
  std::string name;
  at::Tensor tensor;
};

enum class Precision {
  kFull,  // everything in the parameters' type
  kBf16,  // products and their activations in bfloat16; sums in float
  kHalf,  // every operator's result, and its gradient, rounded to half;
          // products and sums in float
};

// Chances that a value is dropped; all 0 in evaluation.
struct DropoutRates {
  double activation = 0;  // Adaptive Span: also of attention weights
  double attention = 0;   // Transformer-XL only
  double embedding = 0;   // Adaptive Span only
};

// How one pass through a model runs.
struct PassOptions {
  Precision precision = Precision::kFull;
  DropoutRates dropout;
  // Draws what is dropped; needed where a rate is not 0.
  std::optional<at::Generator> generator;
};

// The type that `x`'s products run in.
at::ScalarType ComputeType(const at::Tensor& x, const PassOptions& pass);

// x as the pass's operators hand it on: in ComputeType, rounded for kHalf.
at::Tensor ToCompute(const at::Tensor& x, const PassOptions& pass);

// x Wᵀ + b in x's type, whatever the parameters', rounded for kHalf. An
// undefined bias: none.
at::Tensor Linear(const at::Tensor& x, const at::Tensor& weight,
                  const at::Tensor& bias, const PassOptions& pass);

// Factors 0 or 1 / (1 − rate), of `shape` and `options`; undefined at rate 0.
at::Tensor DropoutFactors(at::IntArrayRef shape,
                          const at::TensorOptions& options, double rate,
                          const PassOptions& pass);
at::Tensor Dropout(const at::Tensor& x, double rate, const PassOptions& pass);

struct Norm {
  at::Tensor weight, bias;  // [d_model]
};
at::Tensor LayerNorm(const at::Tensor& x, const Norm& norm,
                     const PassOptions& pass);

struct FeedForward {
  at::Tensor weight1, bias1;  // [d_inner, d_model], [d_inner]
  at::Tensor weight2, bias2;  // [d_model, d_inner], [d_model]
};
// W2 dropout(relu(W1 x + b1)) + b2 in the pass's precision.
at::Tensor Apply(const FeedForward& layer, const at::Tensor& x,
                 const PassOptions& pass);

// Copies the tensor of that name into `target`, converting its type.
// kNotFound or kDataLoss (another shape) names the tensor.
absl::Status CopyFrom(const TensorSource& source, const std::string& name,
                      at::Tensor target);
// The same; kDataLoss names a tensor that holds what is not a finite number,
// too.
absl::Status LoadFinite(const TensorSource& source, const std::string& name,
                        at::Tensor target);

// The last `count` rows of (memory ⊕ input), cut off from the graph; fewer
// where there are fewer. Both [batch, rows, d_model].
at::Tensor KeepLastRows(const at::Tensor& memory, const at::Tensor& input,
                        int64_t count);

}  // namespace spanlm
