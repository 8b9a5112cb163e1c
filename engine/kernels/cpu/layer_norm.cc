// SPDX-License-Identifier: Apache-2.0
#include "engine/kernels/layer_norm.h"

#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/cpu/layer_norm.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace spanlm::kernels::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;
constexpr int kLanes = static_cast<int>(hn::MaxLanes(D()));

// Mean over the row of (x − shift)^power, power 1 or 2; whole vectors first,
// the rest one by one.
template <int kPower>
HWY_INLINE float MeanPower(const float* x, int32_t dim, float shift) {
  const D d;
  V sums = hn::Zero(d);
  int32_t i = 0;
  for (; i + kLanes <= dim; i += kLanes) {
    const V v = hn::Sub(hn::LoadU(d, x + i), hn::Set(d, shift));
    sums = kPower == 1 ? hn::Add(sums, v) : hn::MulAdd(v, v, sums);
  }
  float sum = hn::GetLane(hn::SumOfLanes(d, sums));
  for (; i < dim; ++i) {
    const float v = x[i] - shift;
    sum += kPower == 1 ? v : v * v;
  }
  return sum / static_cast<float>(dim);
}

void Run(const LayerNormArgs& args, int64_t begin, int64_t end) {
  const D d;
  for (int64_t row = begin; row < end; ++row) {
    const float* x = args.x + row * args.dim;
    float* y = args.y + row * args.dim;
    int32_t i = 0;
    if (args.residual != nullptr) {
      const float* residual = args.residual + row * args.dim;
      for (; i + kLanes <= args.dim; i += kLanes) {
        hn::StoreU(hn::Add(hn::LoadU(d, x + i), hn::LoadU(d, residual + i)), d,
                   y + i);
      }
      for (; i < args.dim; ++i) y[i] = x[i] + residual[i];
      x = y;
    }
    const float mean = MeanPower<1>(x, args.dim, 0);
    const float variance = MeanPower<2>(x, args.dim, mean);
    const float factor = 1.0F / std::sqrt(variance + args.epsilon);
    for (i = 0; i + kLanes <= args.dim; i += kLanes) {
      const V v = hn::Mul(hn::Sub(hn::LoadU(d, x + i), hn::Set(d, mean)),
                          hn::Set(d, factor));
      hn::StoreU(hn::MulAdd(v, hn::LoadU(d, args.weight + i),
                            hn::LoadU(d, args.bias + i)),
                 d, y + i);
    }
    for (; i < args.dim; ++i) {
      y[i] = (x[i] - mean) * factor * args.weight[i] + args.bias[i];
    }
  }
}

}  // namespace spanlm::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace spanlm::kernels {

HWY_EXPORT(Run);

const char* LayerNormCpu(const LayerNormArgs& args, int64_t begin,
                         int64_t end) {
  if (args.dim < 1) return "layer norm: no columns";
  if (begin < 0 || end > args.rows) return "layer norm: rows out of range";
  if (begin < end) HWY_DYNAMIC_DISPATCH(Run)(args, begin, end);
  return nullptr;
}

}  // namespace spanlm::kernels
#endif
