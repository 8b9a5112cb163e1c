// SPDX-License-Identifier: Apache-2.0
#include "engine/kernels/log_softmax.h"

#include <cmath>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/cpu/log_softmax.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
// After the two above, as Highway wants it.
#include "hwy/contrib/math/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace spanlm::kernels::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;
constexpr int kLanes = static_cast<int>(hn::MaxLanes(D()));

// Sum of exp(x − max), in float lanes for a vector and in double beyond.
HWY_INLINE double SumExp(const float* x, int32_t classes, float max) {
  const D d;
  double sum = 0;
  int32_t i = 0;
  for (; i + kLanes <= classes; i += kLanes) {
    const V e = hn::Exp(d, hn::Sub(hn::LoadU(d, x + i), hn::Set(d, max)));
    sum += static_cast<double>(hn::GetLane(hn::SumOfLanes(d, e)));
  }
  for (; i < classes; ++i) sum += std::exp(static_cast<double>(x[i] - max));
  return sum;
}

void Run(const LogSoftmaxArgs& args, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; ++row) {
    const float* x = args.logits + row * args.logits_row_stride;
    float* y = args.log_probs + row * args.log_probs_row_stride;
    // Highway's Exp takes NaN for a small number, so look for it here.
    bool finite = true;
    float max = x[0];
    for (int32_t i = 0; i < args.classes; ++i) {
      finite = finite && std::isfinite(x[i]);
      max = x[i] > max ? x[i] : max;
    }
    const float log_sum =
        finite ? static_cast<float>(std::log(SumExp(x, args.classes, max)))
               : std::numeric_limits<float>::quiet_NaN();
    for (int32_t i = 0; i < args.classes; ++i) y[i] = (x[i] - max) - log_sum;
  }
}

}  // namespace spanlm::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace spanlm::kernels {

HWY_EXPORT(Run);

const char* LogSoftmaxCpu(const LogSoftmaxArgs& args, int64_t begin,
                          int64_t end) {
  if (args.classes < 1) return "log softmax: no classes";
  if (begin < 0 || end > args.rows) return "log softmax: rows out of range";
  if (begin < end) HWY_DYNAMIC_DISPATCH(Run)(args, begin, end);
  return nullptr;
}

}  // namespace spanlm::kernels
#endif
