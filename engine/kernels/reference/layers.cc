// SPDX-License-Identifier: Apache-2.0
#include "engine/kernels/reference/layers.h"

#include <algorithm>
#include <cmath>

namespace spanlm::kernels {

std::vector<double> LinearReference(const PackedLinearArgs& args,
                                    const float* weights) {
  std::vector<double> y;
  for (int64_t row = 0; row < args.rows; ++row) {
    for (int64_t o = 0; o < args.outputs; ++o) {
      double sum = args.bias == nullptr ? 0 : args.bias[o];
      for (int64_t k = 0; k < args.inputs; ++k) {
        sum += static_cast<double>(args.x[row * args.x_row_stride + k]) *
               weights[o * args.inputs + k];
      }
      y.push_back(args.relu ? std::max(sum, 0.0) : sum);
    }
  }
  return y;
}

std::vector<double> LayerNormReference(const LayerNormArgs& args) {
  std::vector<double> y;
  std::vector<double> x(args.dim);
  for (int64_t row = 0; row < args.rows; ++row) {
    double mean = 0;
    for (int64_t i = 0; i < args.dim; ++i) {
      x[i] = args.x[row * args.dim + i];
      if (args.residual != nullptr) x[i] += args.residual[row * args.dim + i];
      mean += x[i] / args.dim;
    }
    double variance = 0;
    for (const double v : x) variance += (v - mean) * (v - mean) / args.dim;
    for (int64_t i = 0; i < args.dim; ++i) {
      y.push_back((x[i] - mean) / std::sqrt(variance + args.epsilon) *
                      args.weight[i] +
                  args.bias[i]);
    }
  }
  return y;
}

std::vector<double> LogSoftmaxReference(const LogSoftmaxArgs& args) {
  std::vector<double> y;
  for (int64_t row = 0; row < args.rows; ++row) {
    const float* x = args.logits + row * args.logits_row_stride;
    const double max = *std::max_element(x, x + args.classes);
    double sum = 0;
    for (int64_t i = 0; i < args.classes; ++i) sum += std::exp(x[i] - max);
    for (int64_t i = 0; i < args.classes; ++i) {
      y.push_back(x[i] - max - std::log(sum));
    }
  }
  return y;
}

}  // namespace spanlm::kernels
