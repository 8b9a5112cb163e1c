// SPDX-License-Identifier: Apache-2.0
#include "engine/kernels/packed_linear.h"

#include <algorithm>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/cpu/packed_linear.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

// One task's rows: a multiple of every target's tile.
#ifndef SPANLM_KERNELS_ROWS_PER_TASK
#define SPANLM_KERNELS_ROWS_PER_TASK
namespace spanlm::kernels {
inline constexpr int32_t kRowsPerTask = 192;
}  // namespace spanlm::kernels
#endif

HWY_BEFORE_NAMESPACE();
namespace spanlm::kernels::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;
constexpr int kLanes = static_cast<int>(hn::MaxLanes(D()));
static_assert(kPanelOutputs % kLanes == 0);

// Accumulators that leave registers for the weights and the broadcasts.
constexpr int kRegisters = HWY_TARGET == HWY_AVX3 ? 32 : 16;
constexpr int kTileRows = kRegisters == 32 ? 12 : 6;

// Adds bias and clamps; a lane's bits do not depend on how it is stored. NaN
// stays NaN; Highway's Max would make it 0.
HWY_INLINE V Finish(V sum, V bias, bool has_bias, bool relu) {
  if (has_bias) sum = hn::Add(sum, bias);
  if (!relu) return sum;
  return hn::IfThenZeroElse(hn::Le(sum, hn::Zero(D())), sum);
}

// Stores lanes [lane, lane + kLanes) of a panel, as far as they are outputs.
HWY_INLINE void StoreLanes(const PackedLinearArgs& args, int32_t row,
                           int32_t output, V sum) {
  const D d;
  float* y = args.y + row * args.y_row_stride + output;
  const bool has_bias = args.bias != nullptr;
  const int32_t count = std::min(kLanes, args.outputs - output);
  if (count == kLanes) {
    const V bias = has_bias ? hn::LoadU(d, args.bias + output) : hn::Zero(d);
    hn::StoreU(Finish(sum, bias, has_bias, args.relu), d, y);
    return;
  }
  if (count <= 0) return;
  HWY_ALIGN float lanes[kLanes] = {};
  if (has_bias) std::copy_n(args.bias + output, count, lanes);
  hn::Store(Finish(sum, hn::Load(d, lanes), has_bias, args.relu), d, lanes);
  std::copy_n(lanes, count, y);
}

template <int kRows, int kVectors>
void Tile(const PackedLinearArgs& args, int32_t row, int32_t panel) {
  const D d;
  const float* x = args.x + row * args.x_row_stride;
  const float* base =
      args.weights + int64_t{panel} * args.inputs * kPanelOutputs;
  for (int lane = 0; lane < kPanelOutputs; lane += kVectors * kLanes) {
    V sum[kRows][kVectors];
    for (int r = 0; r < kRows; ++r) {
      for (int v = 0; v < kVectors; ++v) sum[r][v] = hn::Zero(d);
    }
    const float* weights = base + lane;
    for (int32_t k = 0; k < args.inputs; ++k, weights += kPanelOutputs) {
      V w[kVectors];
      for (int v = 0; v < kVectors; ++v) {
        w[v] = hn::LoadU(d, weights + v * kLanes);
      }
      for (int r = 0; r < kRows; ++r) {
        const V x_k = hn::Set(d, x[r * args.x_row_stride + k]);
        for (int v = 0; v < kVectors; ++v) {
          sum[r][v] = hn::MulAdd(x_k, w[v], sum[r][v]);
        }
      }
    }
    for (int r = 0; r < kRows; ++r) {
      for (int v = 0; v < kVectors; ++v) {
        StoreLanes(args, row + r, panel * kPanelOutputs + lane + v * kLanes,
                   sum[r][v]);
      }
    }
  }
}

// Few rows: wide tiles, so that enough sums are under way at once.
constexpr int kWide = std::min(8, kPanelOutputs / kLanes);
constexpr int kNarrow = std::min(2, kPanelOutputs / kLanes);

template <int kRows>
void TileOf(const PackedLinearArgs& args, int32_t rows, int32_t row,
            int32_t panel) {
  if (rows == kRows) {
    Tile<kRows, kRows * kWide <= kRegisters / 2 ? kWide : kNarrow>(args, row,
                                                                   panel);
  } else if constexpr (kRows > 1) {
    TileOf<kRows - 1>(args, rows, row, panel);
  }
}

void Run(const PackedLinearArgs& args, int64_t begin, int64_t end) {
  const int64_t row_blocks = (args.rows + kRowsPerTask - 1) / kRowsPerTask;
  for (int64_t task = begin; task < end; ++task) {
    const auto panel = static_cast<int32_t>(task / row_blocks);
    const auto first = static_cast<int32_t>(task % row_blocks) * kRowsPerTask;
    const int32_t last = std::min(args.rows, first + kRowsPerTask);
    for (int32_t row = first; row < last; row += kTileRows) {
      TileOf<kTileRows>(args, std::min(kTileRows, last - row), row, panel);
    }
  }
}

}  // namespace spanlm::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace spanlm::kernels {

HWY_EXPORT(Run);

int64_t PackedFloats(int32_t outputs, int32_t inputs) {
  const int64_t panels = (int64_t{outputs} + kPanelOutputs - 1) / kPanelOutputs;
  return panels * kPanelOutputs * inputs;
}

void PackWeights(const float* weights, int32_t outputs, int32_t inputs,
                 float* packed) {
  std::fill_n(packed, PackedFloats(outputs, inputs), 0.0F);
  for (int32_t o = 0; o < outputs; ++o) {
    float* lane = packed + int64_t{o / kPanelOutputs} * inputs * kPanelOutputs +
                  o % kPanelOutputs;
    for (int32_t k = 0; k < inputs; ++k) {
      lane[int64_t{k} * kPanelOutputs] = weights[int64_t{o} * inputs + k];
    }
  }
}

int64_t PackedLinearTasks(const PackedLinearArgs& args) {
  const int64_t panels =
      (int64_t{args.outputs} + kPanelOutputs - 1) / kPanelOutputs;
  return panels * ((args.rows + kRowsPerTask - 1) / kRowsPerTask);
}

const char* PackedLinearCpu(const PackedLinearArgs& args, int64_t begin,
                            int64_t end) {
  if (args.rows < 0 || args.inputs < 1 || args.outputs < 1) {
    return "packed linear: negative rows, or no inputs or outputs";
  }
  if (begin < 0 || end > PackedLinearTasks(args)) {
    return "packed linear: tasks out of range";
  }
  if (begin < end) HWY_DYNAMIC_DISPATCH(Run)(args, begin, end);
  return nullptr;
}

}  // namespace spanlm::kernels
#endif
