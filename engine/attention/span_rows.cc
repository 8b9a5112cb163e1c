// SPDX-License-Identifier: Apache-2.0
#include "engine/attention/span_rows.h"

#include <c10/util/BFloat16.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

namespace spanlm {
namespace {

constexpr double kEpsilon = 1e-8;  // of the renormaliser

double Exp(double x) { return std::exp(x); }

// exp for x <= 0 within 2e-7 relative, in a form that compilers vectorise:
// 2^n from the exponent bits, the rest by a polynomial on [-ln2/2, ln2/2].
inline float Exp(float x) {
  constexpr float kLog2E = 1.44269504F;
  constexpr float kLn2High = 0.693145752F;
  constexpr float kLn2Low = 1.42860677e-6F;
  constexpr float kRound = 12582912.0F;  // 1.5 * 2^23: rounds to an integer
  x = x < -87.0F ? -87.0F : x;
  const float shifted = x * kLog2E + kRound;
  const float n = shifted - kRound;
  const float r = (x - n * kLn2High) - n * kLn2Low;
  float p = 1.0F / 5040;
  p = p * r + 1.0F / 720;
  p = p * r + 1.0F / 120;
  p = p * r + 1.0F / 24;
  p = p * r + 1.0F / 6;
  p = p * r + 0.5F;
  p = p * r + 1.0F;
  p = p * r + 1.0F;
  const int32_t exponent = (static_cast<int32_t>(n) + 127) << 23;
  float power;
  std::memcpy(&power, &exponent, sizeof(power));
  return p * power;
}

// Sums in lanes, so that the order is fixed whatever the vector width.
constexpr int64_t kLanes = 16;

template <typename A>
A LaneSum(const A* lanes) {
  A sum = 0;
  for (int64_t i = 0; i < kLanes; ++i) sum += lanes[i];
  return sum;
}

template <typename A>
A Sum(const A* x, int64_t n) {
  A lanes[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int64_t j = 0; j < kLanes; ++j) lanes[j] += x[i + j];
  }
  for (; i < n; ++i) lanes[i % kLanes] += x[i];
  return LaneSum(lanes);
}

template <typename A>
A Dot(const A* x, const A* y, int64_t n) {
  A lanes[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int64_t j = 0; j < kLanes; ++j) lanes[j] += x[i + j] * y[i + j];
  }
  for (; i < n; ++i) lanes[i % kLanes] += x[i] * y[i];
  return LaneSum(lanes);
}

template <typename A>
A Max(const A* x, int64_t n) {
  A lanes[kLanes];
  std::fill_n(lanes, kLanes, x[0]);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int64_t j = 0; j < kLanes; ++j) {
      lanes[j] = lanes[j] < x[i + j] ? x[i + j] : lanes[j];
    }
  }
  for (; i < n; ++i) lanes[0] = std::max(lanes[0], x[i]);
  return *std::max_element(lanes, lanes + kLanes);
}

}  // namespace

template <typename T>
void ForwardSpanRows(const SpanRowsShape& shape, const T* content,
                     const T* position, const RowAccumulatorT<T>* mask,
                     T* relative, T* weights, RowAccumulatorT<T>* row_scale,
                     int64_t begin, int64_t end) {
  using A = RowAccumulatorT<T>;
  const int64_t window = shape.window;
  const int64_t keys = shape.block + window;
  const A scale = static_cast<A>(shape.scale);
  std::vector<A> buffer(window);
  A* row = buffer.data();
  for (int64_t r = begin * shape.block; r < end * shape.block; ++r) {
    const int64_t i = r % shape.block;
    const A* m = mask + (r / shape.block % shape.heads) * window;
    const T* g = content + r * keys + i;
    const T* p = position + r * window;
    for (int64_t c = 0; c < window; ++c) {
      row[c] = (static_cast<A>(g[c]) + static_cast<A>(p[c])) * scale;
    }
    const A max = Max(row, window);
    for (int64_t c = 0; c < window; ++c) row[c] = Exp(row[c] - max);
    const A total = Sum(row, window);
    A factor = 1;
    if (shape.renormalize) {
      factor = 1 / (Dot(row, m, window) / total + static_cast<A>(kEpsilon));
    }
    row_scale[r] = factor;
    factor /= total;
    T* w = weights + r * keys;
    T* a = relative + r * window;
    std::fill_n(w, i, T(0));
    for (int64_t c = 0; c < window; ++c) {
      a[c] = static_cast<T>(row[c] * factor);
      w[i + c] = static_cast<T>(row[c] * factor * m[c]);
    }
    std::fill_n(w + i + window, shape.block - i, T(0));
  }
}

template <typename T>
void BackwardSpanRows(const SpanRowsShape& shape, const T* d_weights,
                      const T* relative, const RowAccumulatorT<T>* mask,
                      const RowAccumulatorT<T>* row_scale,
                      const RampColumns* ramp, T* d_content, T* d_position,
                      RowAccumulatorT<T>* d_ramp, int64_t begin, int64_t end) {
  using A = RowAccumulatorT<T>;
  const int64_t window = shape.window;
  const int64_t keys = shape.block + window;
  const A scale = static_cast<A>(shape.scale);
  std::vector<A> buffer(3 * window);
  A* unmasked = buffer.data();    // weights before the mask
  A* weight = unmasked + window;  // after it
  A* gradient = unmasked + 2 * window;
  for (int64_t group = begin; group < end; ++group) {
    const int64_t head = group % shape.heads;
    const A* m = mask + head * window;
    A ramp_sum = 0;
    for (int64_t i = 0; i < shape.block; ++i) {
      const int64_t r = group * shape.block + i;
      const T* dw = d_weights + r * keys + i;
      const T* a = relative + r * window;
      for (int64_t c = 0; c < window; ++c) {
        unmasked[c] = static_cast<A>(a[c]);
        weight[c] = unmasked[c] * m[c];
        gradient[c] = static_cast<A>(dw[c]);
      }
      const A mean =
          shape.renormalize ? Dot(weight, gradient, window) : static_cast<A>(0);
      // Now d/d(mask), which is also d/d(softmax) times softmax over mask.
      for (int64_t c = 0; c < window; ++c) {
        gradient[c] = unmasked[c] * (gradient[c] - mean);
      }
      const A* slope = gradient + ramp[head].begin;
      ramp_sum += Sum(slope, ramp[head].end - ramp[head].begin);
      const A leak = Dot(gradient, m, window) / row_scale[r];
      T* dg = d_content + r * keys;
      T* dp = d_position + r * window;
      std::fill_n(dg, i, T(0));
      for (int64_t c = 0; c < window; ++c) {
        const T d =
            static_cast<T>((gradient[c] * m[c] - unmasked[c] * leak) * scale);
        dg[i + c] = d;
        dp[c] = d;
      }
      std::fill_n(dg + i + window, shape.block - i, T(0));
    }
    d_ramp[group] = ramp_sum;
  }
}

#define SPANLM_SPAN_ROWS(T)                                                  \
  template void ForwardSpanRows<T>(const SpanRowsShape&, const T*, const T*, \
                                   const RowAccumulatorT<T>*, T*, T*,        \
                                   RowAccumulatorT<T>*, int64_t, int64_t);   \
  template void BackwardSpanRows<T>(                                         \
      const SpanRowsShape&, const T*, const T*, const RowAccumulatorT<T>*,   \
      const RowAccumulatorT<T>*, const RampColumns*, T*, T*,                 \
      RowAccumulatorT<T>*, int64_t, int64_t);
SPANLM_SPAN_ROWS(float)
SPANLM_SPAN_ROWS(double)
SPANLM_SPAN_ROWS(c10::BFloat16)
#undef SPANLM_SPAN_ROWS

}  // namespace spanlm
