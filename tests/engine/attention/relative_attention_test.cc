// SPDX-License-Identifier: Apache-2.0
// Transformer-XL's block attention against its formula, key after key.
#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include <cmath>
#include <cstdint>
#include <vector>

#include "engine/attention/dense_attention.h"
#include "gtest/gtest.h"
#include "tests/engine/attention/random_tensor.h"

namespace spanlm {
namespace {

constexpr int64_t kBatch = 2, kHeads = 2, kDim = 3;

RelativeAttentionInputs RandomInputs(int64_t block, int64_t keys) {
  RelativeAttentionInputs inputs;
  inputs.q = RandomTensor({kBatch, block, kHeads, kDim}, 1);
  inputs.k = RandomTensor({kBatch, keys, kHeads, kDim}, 2);
  inputs.v = RandomTensor({kBatch, keys, kHeads, kDim}, 3);
  inputs.relative_keys = RandomTensor({keys, kHeads, kDim}, 4);
  inputs.content_bias = RandomTensor({kHeads, kDim}, 5);
  inputs.position_bias = RandomTensor({kHeads, kDim}, 6);
  inputs.hidden =
      at::zeros({block, keys}, at::TensorOptions().dtype(at::kBool));
  for (int64_t i = 0; i < block; ++i) {
    for (int64_t j = i + keys - block + 1; j < keys; ++j) {
      inputs.hidden.data_ptr<bool>()[i * keys + j] = true;
    }
  }
  return inputs;
}

// The row of head `head` at [a, b] of a dense tensor.
const double* RowOf(const at::Tensor& x, int64_t a, int64_t b, int64_t head) {
  return x.const_data_ptr<double>() +
         ((a * x.size(1) + b) * kHeads + head) * kDim;
}

at::Tensor Plain(const RelativeAttentionInputs& in) {
  const int64_t block = in.q.size(1), keys = in.k.size(1);
  at::Tensor out = at::zeros({kBatch, block, kHeads * kDim}, in.q.options());
  const double* u = in.content_bias.const_data_ptr<double>();
  const double* bias = in.position_bias.const_data_ptr<double>();
  const at::Tensor relative = in.relative_keys.unsqueeze(0);
  for (int64_t n = 0; n < kBatch * block * kHeads; ++n) {
    const int64_t b = n / (block * kHeads), i = n / kHeads % block;
    const int64_t head = n % kHeads;
    std::vector<double> weight(keys, 0);
    double total = 0;
    for (int64_t j = 0; j < keys; ++j) {
      if (in.hidden.const_data_ptr<bool>()[i * keys + j]) continue;
      const int64_t distance = i + (keys - block) - j;
      double score = 0;
      for (int64_t e = 0; e < kDim; ++e) {
        const double q = RowOf(in.q, b, i, head)[e];
        score += (q + u[head * kDim + e]) * RowOf(in.k, b, j, head)[e] +
                 (q + bias[head * kDim + e]) *
                     RowOf(relative, 0, keys - 1 - distance, head)[e];
      }
      weight[j] = std::exp(score / std::sqrt(static_cast<double>(kDim)));
      total += weight[j];
    }
    for (int64_t j = 0; j < keys; ++j) {
      for (int64_t e = 0; e < kDim; ++e) {
        out.data_ptr<double>()[n * kDim + e] +=
            weight[j] / total * RowOf(in.v, b, j, head)[e];
      }
    }
  }
  return out;
}

TEST(RelativeAttentionTest, IsItsFormulaWithAndWithoutMemory) {
  for (const auto& [block, memory] :
       {std::pair<int64_t, int64_t>(5, 0), {5, 3}, {1, 7}, {4, 12}, {1, 0}}) {
    const RelativeAttentionInputs inputs = RandomInputs(block, block + memory);
    EXPECT_LE(LargestDifference(RelativeAttention(inputs), Plain(inputs)),
              1e-14)
        << block << " queries after " << memory;
  }
}

TEST(RelativeAttentionTest, IsItsFormulaInFloat) {
  const RelativeAttentionInputs inputs = RandomInputs(5, 12);
  RelativeAttentionInputs single = inputs;
  for (at::Tensor* x : {&single.q, &single.k, &single.v, &single.relative_keys,
                        &single.content_bias, &single.position_bias}) {
    *x = x->to(at::kFloat);
  }
  const at::Tensor out = RelativeAttention(single);
  EXPECT_EQ(out.scalar_type(), at::kFloat);
  EXPECT_LE(LargestDifference(out, Plain(inputs)), 3e-6);
}

TEST(RelativeAttentionTest, DropsWeightsAfterTheSoftmax) {
  RelativeAttentionInputs inputs = RandomInputs(5, 12);
  const at::Tensor whole = RelativeAttention(inputs);
  inputs.dropout = at::full({kBatch, kHeads, 5, 12}, 2, inputs.q.options());
  EXPECT_LE(LargestDifference(RelativeAttention(inputs), whole * 2), 1e-14);
}

}  // namespace
}  // namespace spanlm
