// SPDX-License-Identifier: Apache-2.0
// The attention kernel. A warp does one (row, head); its lanes are the 32
// positions of a block while scores are computed and the dimensions of the
// head while values are added up. It goes once over the blocks of absolute
// positions, in rising order, under a running maximum, so that the result
// depends on the row and on nothing else.
//
// Per block it reads head_dim * 32 keys in full lines, as many position keys
// across two blocks of their table, and the values of the positions that can
// have a weight. Nothing is written but `out`.
#pragma once

#include <cmath>

#include "engine/kernels/cuda/launch_shape.h"
#include "engine/kernels/cuda/row_blocks.h"
#include "engine/kernels/span_attention.h"

namespace spanlm::kernels {

inline constexpr unsigned kAllLanes = 0xffffffffU;
// Dimensions that a lane adds up.
inline constexpr int32_t kLaneDims = kMaxHeadDim / kWarpThreads;

// Butterflies: every lane ends with the same bits.
inline __device__ float WarpMax(float x) {
  for (int offset = kWarpThreads / 2; offset > 0; offset /= 2) {
    x = fmaxf(x, __shfl_xor_sync(kAllLanes, x, offset));
  }
  return x;
}

inline __device__ float WarpSum(float x) {
  for (int offset = kWarpThreads / 2; offset > 0; offset /= 2) {
    x += __shfl_xor_sync(kAllLanes, x, offset);
  }
  return x;
}

// Sums under a running maximum; they stand for exp(maximum) times themselves.
struct RunningSoftmax {
  float maximum = -INFINITY;
  float denominator = 0;
  float out[kLaneDims] = {};  // of dimensions lane, lane + 32, …
};

// One row and head of the step.
struct RowTask {
  const SpanAttentionArgs& args;
  const Chunk& chunk;
  RowRange range;
  int32_t head;
  int32_t lane;
  const float* content_query;   // [head_dim], q + content_bias
  const float* position_query;  // [head_dim], q + position_bias
};

inline __device__ float ScoreAt(const RowTask& task, int64_t block,
                                int64_t distance) {
  const float* keys =
      KeysOfBlock(task.args, task.chunk, task.head, block) + task.lane;
  const float* position_key = PositionKeyAt(task.args, task.head, distance);
  float content = 0;
  float position = 0;
  for (int32_t i = 0; i < task.args.head_dim; ++i) {
    content = fmaf(task.content_query[i], keys[i * kBlockPositions], content);
    position = fmaf(task.position_query[i], position_key[i * kBlockPositions],
                    position);
  }
  return task.args.scale * (content + position);
}

// Adds weight times value over the block's positions from `first` to `last`,
// in order, to the complete sums of the blocks before.
inline __device__ void AddValues(const RowTask& task, int64_t block,
                                 float weight, RunningSoftmax* sums) {
  const int64_t base = block * kBlockPositions;
  const int64_t first =
      base > task.range.oldest_value ? base : task.range.oldest_value;
  const int64_t block_end = base + kBlockPositions - 1;
  const int64_t last =
      block_end < task.range.newest ? block_end : task.range.newest;
  float block_out[kLaneDims] = {};
  for (int64_t position = first; position <= last; ++position) {
    const float position_weight =
        __shfl_sync(kAllLanes, weight, static_cast<int>(position - base));
    const float* value = ValueAt(task.args, task.chunk, task.head, position);
    for (int32_t j = 0; j < kLaneDims; ++j) {
      const int32_t i = task.lane + j * kWarpThreads;
      if (i < task.args.head_dim) {
        block_out[j] = fmaf(position_weight, value[i], block_out[j]);
      }
    }
  }
  for (int32_t j = 0; j < kLaneDims; ++j) sums->out[j] += block_out[j];
}

inline __device__ void AddBlock(const RowTask& task, int64_t block,
                                RunningSoftmax* sums) {
  const int64_t position = block * kBlockPositions + task.lane;
  const int64_t distance = task.range.position - position;
  const bool counts =
      position >= task.range.oldest_key && position <= task.range.newest;
  const bool has_weight = counts && position >= task.range.oldest_value;
  const float score = counts ? ScoreAt(task, block, distance) : -INFINITY;
  const float maximum = fmaxf(sums->maximum, WarpMax(score));
  const float share = counts ? expf(score - maximum) : 0.0F;
  const float weight =
      has_weight ? share * MaskAt(task.args, task.head, distance) : 0.0F;

  const float rescale = expf(sums->maximum - maximum);
  sums->maximum = maximum;
  sums->denominator = sums->denominator * rescale +
                      WarpSum(task.args.renormalize ? weight : share);
  for (int32_t j = 0; j < kLaneDims; ++j) sums->out[j] *= rescale;
  AddValues(task, block, weight, sums);
}

// q plus a bias, where there is one, into `sum`, [head_dim].
inline __device__ void LoadQuery(const SpanAttentionArgs& args,
                                 const float* query, const float* bias,
                                 int32_t lane, float* sum) {
  for (int32_t i = lane; i < args.head_dim; i += kWarpThreads) {
    sum[i] = bias == nullptr ? query[i] : query[i] + bias[i];
  }
}

__global__ void SpanAttentionKernel(const SpanAttentionArgs args) {
  __shared__ float queries[kAttentionWarps][2][kMaxHeadDim];
  const int32_t warp = threadIdx.x / kWarpThreads;
  const int32_t lane = threadIdx.x % kWarpThreads;
  const int64_t index = int64_t{blockIdx.x} * kAttentionWarps + warp;
  if (index >= int64_t{args.rows} * args.heads) return;  // the whole warp
  const int32_t row = static_cast<int32_t>(index / args.heads);
  const int32_t head = static_cast<int32_t>(index % args.heads);

  const int64_t head_start = int64_t{head} * args.head_dim;
  const float* query = args.query + row * args.query_row_stride + head_start;
  float* content_query = queries[warp][0];
  float* position_query = queries[warp][1];
  LoadQuery(
      args, query,
      args.content_bias == nullptr ? nullptr : args.content_bias + head_start,
      lane, content_query);
  LoadQuery(
      args, query,
      args.position_bias == nullptr ? nullptr : args.position_bias + head_start,
      lane, position_query);
  __syncwarp();

  const Chunk& chunk = args.chunks[args.row_chunk[row]];
  const RowTask task{
      args,          chunk, RangeOfRow(args, chunk, args.head[head], row),
      head,          lane,  content_query,
      position_query};
  RunningSoftmax sums;
  const int64_t last = BlockOf(task.range.newest);
  for (int64_t block = BlockOf(task.range.oldest_key); block <= last; ++block) {
    AddBlock(task, block, &sums);
  }
  float* out = args.out + row * args.out_row_stride + head_start;
  for (int32_t j = 0; j < kLaneDims; ++j) {
    const int32_t i = lane + j * kWarpThreads;
    if (i < args.head_dim) out[i] = sums.out[j] / sums.denominator;
  }
}

}  // namespace spanlm::kernels
