// SPDX-License-Identifier: Apache-2.0
// The block form's attention against its formula, one distance after the other,
// and its written-out gradients against differences of that formula.
#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "engine/attention/dense_attention.h"
#include "gtest/gtest.h"
#include "tests/engine/attention/random_tensor.h"

namespace spanlm {
namespace {

constexpr int64_t kBatch = 2, kBlock = 3, kWindow = 64, kHeads = 4, kDim = 2;
constexpr int64_t kSize = 128;  // S, so that the window is its last half
constexpr int32_t kRamp = 32;

// All operands in double, dense; the mask in place of the spans.
struct Operands {
  at::Tensor q, k, v, position_keys;
  at::Tensor mask;     // [heads, window], of distances window … 1
  at::Tensor dropout;  // undefined: none
  bool renormalize = true;
};

double At(const at::Tensor& x, int64_t a, int64_t b, int64_t c) {
  return x.const_data_ptr<double>()[(a * x.size(1) + b) * x.size(2) + c];
}

// One head of one query: o = Σ w v over the distances.
void PlainHead(const Operands& in, int64_t b, int64_t i, int64_t head,
               double* out) {
  const double* mask = in.mask.const_data_ptr<double>() + head * kWindow;
  const double* positions = in.position_keys.const_data_ptr<double>();
  std::vector<double> weight(kWindow);
  double total = 0, kept = 0;
  for (int64_t distance = 1; distance <= kWindow; ++distance) {
    const int64_t c = kWindow - distance;
    const int64_t key = kWindow + i - distance;
    double score = 0;
    for (int64_t e = head * kDim; e < (head + 1) * kDim; ++e) {
      const double position = positions[(e - head * kDim) * kWindow + c];
      score += At(in.q, b, i, e) * (At(in.k, b, key, e) + position);
    }
    weight[c] = std::exp(score / std::sqrt(static_cast<double>(kDim)));
    total += weight[c];
  }
  for (int64_t c = 0; c < kWindow; ++c) {
    weight[c] *= mask[c] / total;
    kept += weight[c];
  }
  for (int64_t c = 0; c < kWindow; ++c) {
    double w = in.renormalize ? weight[c] / (kept + 1e-8) : weight[c];
    if (in.dropout.defined()) {
      w *= At(in.dropout, b * kHeads + head, i, i + c);
    }
    for (int64_t e = 0; e < kDim; ++e) {
      out[e] += w * At(in.v, b, i + c, head * kDim + e);
    }
  }
}

at::Tensor PlainAttention(const Operands& in) {
  at::Tensor out = at::zeros({kBatch, kBlock, kHeads * kDim},
                             at::TensorOptions().dtype(at::kDouble));
  double* o = out.data_ptr<double>();
  for (int64_t b = 0; b < kBatch; ++b) {
    for (int64_t i = 0; i < kBlock; ++i) {
      for (int64_t head = 0; head < kHeads; ++head) {
        PlainHead(in, b, i, head,
                  o + ((b * kBlock + i) * kHeads + head) * kDim);
      }
    }
  }
  return out;
}

// z S: 0 and 16 are integers, where both ends of the clamp carry a gradient.
const double kReaches[kHeads] = {0, 16, 14.6, 32};

// (R + zS + 1 − δ) / R of column c.
double RawMask(int64_t head, int64_t c) {
  return (kRamp + kReaches[head] + 1 - static_cast<double>(kWindow - c)) /
         kRamp;
}

SpanAttentionInputs RandomInputs(bool renormalize, bool with_dropout) {
  SpanAttentionInputs inputs;
  inputs.q = RandomTensor({kBatch, kBlock, kHeads * kDim}, 1);
  inputs.k = RandomTensor({kBatch, kWindow + kBlock, kHeads * kDim}, 2);
  inputs.v = RandomTensor({kBatch, kWindow + kBlock, kHeads * kDim}, 3);
  inputs.position_keys = RandomTensor({kDim, kWindow}, 4);
  inputs.spans = at::empty({kHeads}, inputs.q.options());
  for (int64_t head = 0; head < kHeads; ++head) {
    inputs.spans.data_ptr<double>()[head] = kReaches[head] / kSize;
  }
  inputs.mask_template = at::arange(1 - kWindow, 1, inputs.q.options());
  if (with_dropout) {
    inputs.dropout =
        RandomTensor({kBatch * kHeads, kBlock, kWindow + kBlock}, 5)
            .gt(0)
            .to(at::kDouble) *
        2;
  }
  inputs.geometry.attn_span = kSize;
  inputs.geometry.ramp = kRamp;
  inputs.renormalize = renormalize;
  return inputs;
}

Operands OperandsOf(const SpanAttentionInputs& inputs) {
  Operands in{inputs.q.clone(),
              inputs.k.clone(),
              inputs.v.clone(),
              inputs.position_keys.clone(),
              at::empty({kHeads, kWindow}, inputs.q.options()),
              inputs.dropout,
              inputs.renormalize};
  double* mask = in.mask.data_ptr<double>();
  for (int64_t i = 0; i < kHeads * kWindow; ++i) {
    mask[i] = std::clamp(RawMask(i / kWindow, i % kWindow), 0.0, 1.0);
  }
  return in;
}

struct AttentionCase {
  bool renormalize, with_dropout;
};

void PrintTo(const AttentionCase& c, std::ostream* os) {
  *os << (c.renormalize ? "renormalized" : "as fairseq")
      << (c.with_dropout ? " with dropout" : "");
}

class SpanAttentionTest : public testing::TestWithParam<AttentionCase> {
 protected:
  static SpanAttentionInputs Inputs() {
    return RandomInputs(GetParam().renormalize, GetParam().with_dropout);
  }
};

TEST_P(SpanAttentionTest, IsItsFormulaInDouble) {
  const SpanAttentionInputs inputs = Inputs();
  EXPECT_LE(LargestDifference(SpanAttention(inputs),
                              PlainAttention(OperandsOf(inputs))),
            1e-14);
}

TEST_P(SpanAttentionTest, IsItsFormulaInFloatAndBfloat16) {
  for (const auto& [type, tolerance] :
       {std::pair(at::kFloat, 3e-6), {at::kBFloat16, 0.06}}) {
    SpanAttentionInputs inputs = Inputs();
    for (at::Tensor* x : {&inputs.q, &inputs.k, &inputs.v}) *x = x->to(type);
    for (at::Tensor* x :
         {&inputs.position_keys, &inputs.spans, &inputs.mask_template}) {
      *x = x->to(at::kFloat);
    }
    if (inputs.dropout.defined()) inputs.dropout = inputs.dropout.to(type);
    const at::Tensor out = SpanAttention(inputs);
    EXPECT_EQ(out.scalar_type(), type);
    EXPECT_LE(LargestDifference(out, PlainAttention(OperandsOf(Inputs()))),
              tolerance);
  }
}

// d(Σ upstream · out)/dx by central differences of the formula.
at::Tensor Differences(Operands* in, at::Tensor x, const at::Tensor& upstream) {
  constexpr double kStep = 1e-5;
  const at::Tensor slopes = at::empty_like(x);
  const auto value = [&] {
    return (PlainAttention(*in) * upstream).sum().item<double>();
  };
  for (int64_t i = 0; i < x.numel(); ++i) {
    double& element = x.data_ptr<double>()[i];
    const double kept = element;
    element = kept + kStep;
    const double above = value();
    element = kept - kStep;
    const double below = value();
    element = kept;
    slopes.data_ptr<double>()[i] = (above - below) / (2 * kStep);
  }
  return slopes;
}

TEST_P(SpanAttentionTest, HasTheGradientsOfItsFormula) {
  constexpr double kTolerance = 1e-8;
  SpanAttentionInputs inputs = Inputs();
  const at::Tensor upstream = RandomTensor({kBatch, kBlock, kHeads * kDim}, 6);
  const std::vector<at::Tensor> variables = {
      inputs.q, inputs.k, inputs.v, inputs.position_keys, inputs.spans};
  for (at::Tensor variable : variables) variable.set_requires_grad(true);
  const auto gradients =
      torch::autograd::grad({SpanAttention(inputs)}, variables, {upstream});

  for (at::Tensor variable : variables) variable.set_requires_grad(false);
  Operands in = OperandsOf(inputs);
  const at::Tensor operands[] = {in.q, in.k, in.v, in.position_keys};
  const char* names[] = {"q", "k", "v", "position_keys"};
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_LE(LargestDifference(gradients[i],
                                Differences(&in, operands[i], upstream)),
              kTolerance)
        << names[i];
  }
  // The clamp lets a gradient through at both its ends.
  const at::Tensor d_mask = Differences(&in, in.mask, upstream);
  for (int64_t head = 0; head < kHeads; ++head) {
    double expected = 0;
    for (int64_t c = 0; c < kWindow; ++c) {
      if (RawMask(head, c) < 0 || RawMask(head, c) > 1) continue;
      expected += d_mask.const_data_ptr<double>()[head * kWindow + c] *
                  static_cast<double>(kSize) / kRamp;
    }
    EXPECT_NEAR(gradients[4].const_data_ptr<double>()[head], expected,
                kTolerance * kSize)
        << "span of head " << head;
  }
}

TEST_P(SpanAttentionTest, IsTheSameOfOperators) {
  constexpr double kTolerance = 1e-13;
  const SpanAttentionInputs inputs = Inputs();
  const at::Tensor upstream = RandomTensor({kBatch, kBlock, kHeads * kDim}, 6);
  const std::vector<at::Tensor> variables = {
      inputs.q, inputs.k, inputs.v, inputs.position_keys, inputs.spans};
  for (at::Tensor variable : variables) variable.set_requires_grad(true);

  const at::Tensor out = SpanAttentionOfOperators(inputs);
  EXPECT_LE(LargestDifference(out, SpanAttention(inputs)), kTolerance);
  const auto gradients = torch::autograd::grad({out}, variables, {upstream});
  const auto expected =
      torch::autograd::grad({SpanAttention(inputs)}, variables, {upstream});
  for (size_t i = 0; i < variables.size(); ++i) {
    EXPECT_LE(LargestDifference(gradients[i], expected[i]), kTolerance * kSize)
        << "variable " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Forms, SpanAttentionTest,
                         testing::Values(AttentionCase{true, false},
                                         AttentionCase{true, true},
                                         AttentionCase{false, false},
                                         AttentionCase{false, true}));

TEST(SpanAttentionThreadsTest, ChangeNoBit) {
  SpanAttentionInputs inputs = RandomInputs(true, true);
  at::set_num_threads(1);
  const at::Tensor alone = SpanAttention(inputs);
  at::set_num_threads(2);
  const at::Tensor together = SpanAttention(inputs);
  at::set_num_threads(1);
  EXPECT_TRUE(at::equal(alone, together));
}

}  // namespace
}  // namespace spanlm
