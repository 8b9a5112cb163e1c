// SPDX-License-Identifier: Apache-2.0
// Tensors of tests, the same for the same seed.
#pragma once

#include <ATen/Functions.h>

#include <cstdint>
#include <random>
#include <vector>

namespace spanlm {

// Double values around 0 with deviation 1.
inline at::Tensor RandomTensor(const std::vector<int64_t>& shape,
                               uint32_t seed) {
  at::Tensor tensor = at::empty(shape, at::TensorOptions().dtype(at::kDouble));
  std::mt19937 random(seed);
  std::normal_distribution<double> normal;
  double* values = tensor.data_ptr<double>();
  for (int64_t i = 0; i < tensor.numel(); ++i) values[i] = normal(random);
  return tensor;
}

// The largest difference of two tensors of one shape; NaN where there is one.
inline double LargestDifference(const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor x = a.detach().to(at::kDouble);
  return at::max(at::abs(at::sub(x, b.detach().to(at::kDouble))))
      .item<double>();
}

}  // namespace spanlm
