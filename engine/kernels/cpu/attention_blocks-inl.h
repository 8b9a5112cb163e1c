// SPDX-License-Identifier: Apache-2.0
// What attention does with one block of keys or values, once for each target
// (Highway includes this file again for every instruction set).
#if defined(SPANLM_KERNELS_ATTENTION_BLOCKS_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef SPANLM_KERNELS_ATTENTION_BLOCKS_INL_H
#undef SPANLM_KERNELS_ATTENTION_BLOCKS_INL_H
#else
#define SPANLM_KERNELS_ATTENTION_BLOCKS_INL_H
#endif

#include <cstdint>

#include "hwy/highway.h"
// After the one above, as Highway wants it.
#include "engine/kernels/cpu/attention_task.h"
#include "hwy/contrib/math/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace spanlm::kernels::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;
constexpr int kLanes = static_cast<int>(hn::MaxLanes(D()));
static_assert(kBlockPositions % kLanes == 0);
constexpr int kVectors = kLanes * 2 <= kBlockPositions ? 2 : 1;
// Vectors of values summed at once for a tile of four rows.
constexpr int kValueVectors = HWY_TARGET == HWY_AVX3 ? 4 : 2;

// NaN stays NaN; Highway's alone would make it 0.
HWY_INLINE V ExpKeepingNaN(D d, V x) {
  return hn::IfThenElse(hn::Eq(x, x), hn::Exp(d, x), x);
}

// Products of `kRows` queries with the keys of one block, [head_dim]
// [kBlockPositions]; row r's go to out + r * stride.
template <int kRows>
HWY_INLINE void ScoreBlock(const float* queries, const float* keys,
                           int32_t head_dim, float* out, int64_t stride) {
  const D d;
  for (int lane = 0; lane < kBlockPositions; lane += kVectors * kLanes) {
    V sum[kRows][kVectors];
    for (int r = 0; r < kRows; ++r) {
      for (int v = 0; v < kVectors; ++v) sum[r][v] = hn::Zero(d);
    }
    const float* key = keys + lane;
    for (int32_t i = 0; i < head_dim; ++i, key += kBlockPositions) {
      V k[kVectors];
      for (int v = 0; v < kVectors; ++v) k[v] = hn::LoadU(d, key + v * kLanes);
      for (int r = 0; r < kRows; ++r) {
        const V q = hn::Set(d, queries[r * kMaxHeadDim + i]);
        for (int v = 0; v < kVectors; ++v) {
          sum[r][v] = hn::MulAdd(q, k[v], sum[r][v]);
        }
      }
    }
    for (int r = 0; r < kRows; ++r) {
      for (int v = 0; v < kVectors; ++v) {
        hn::StoreU(sum[r][v], d, out + r * stride + lane + v * kLanes);
      }
    }
  }
}

HWY_INLINE void ScoreRows(const float* queries, int32_t rows, const float* keys,
                          int32_t head_dim, float* out, int64_t stride) {
  if (rows == kTileRows) {
    ScoreBlock<kTileRows>(queries, keys, head_dim, out, stride);
    return;
  }
  for (int32_t r = 0; r < rows; ++r) {
    ScoreBlock<1>(queries + r * kMaxHeadDim, keys, head_dim, out + r * stride,
                  stride);
  }
}

// Neighbouring positions of a block whose values lie `stride` floats apart.
struct ValueSegment {
  const float* values;
  int64_t stride;
  const float* weights;  // of the first row
  int64_t count;
};

// Adds one block's weighted values, `kCount` vectors from `dim` on.
template <class Tag, int kRows, int kCount>
HWY_INLINE void AddBlock(const ValueSegment (&segments)[2],
                         int64_t weight_stride, int32_t dim, float* totals) {
  const Tag d;
  constexpr int kStep = static_cast<int>(hn::MaxLanes(Tag()));
  hn::Vec<Tag> sum[kRows][kCount];
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kCount; ++v) sum[r][v] = hn::Zero(d);
  }
  for (const ValueSegment& segment : segments) {
    const float* values = segment.values + dim;
    for (int64_t p = 0; p < segment.count; ++p, values += segment.stride) {
      hn::Vec<Tag> value[kCount];
      for (int v = 0; v < kCount; ++v) {
        value[v] = hn::LoadU(d, values + v * kStep);
      }
      for (int r = 0; r < kRows; ++r) {
        const auto weight = hn::Set(d, segment.weights[r * weight_stride + p]);
        for (int v = 0; v < kCount; ++v) {
          sum[r][v] = hn::MulAdd(weight, value[v], sum[r][v]);
        }
      }
    }
  }
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kCount; ++v) {
      float* total = totals + r * kMaxHeadDim + dim + v * kStep;
      hn::StoreU(hn::Add(hn::LoadU(d, total), sum[r][v]), d, total);
    }
  }
}

}  // namespace spanlm::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // toggled for each target
