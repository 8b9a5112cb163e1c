// SPDX-License-Identifier: Apache-2.0
// The kernels that stage a step's keys and write them into the rings. A thread
// block does one (chunk, head); no element has two writers.
#pragma once

#include "engine/kernels/cache_append.h"
#include "engine/kernels/cuda/launch_shape.h"

namespace spanlm::kernels {

// A key's element: the ring's before the chunk's first row, the row's own, 0
// past the last row.
inline __device__ float StagedKey(const CacheAppendArgs& args,
                                  const Chunk& chunk, int32_t head,
                                  int64_t position, int32_t dim) {
  const int64_t row = position - chunk.position;
  if (row >= chunk.rows) return 0.0F;
  if (row >= 0) {
    return args.key[(chunk.first_row + row) * args.key_row_stride +
                    int64_t{head} * args.head_dim + dim];
  }
  const HeadSpan& span = args.head[head];
  return args.cache[chunk.slot_offset + span.key_offset +
                    KeyIndex(RingPosition(position, span.key_capacity), dim,
                             args.head_dim)];
}

// Neighbouring threads are neighbouring positions: writes are full lines, reads
// of rows are a row's stride apart.
__global__ void StageKeysKernel(const CacheAppendArgs args) {
  const Chunk& chunk = args.chunks[blockIdx.x / args.heads];
  const int32_t head = static_cast<int32_t>(blockIdx.x % args.heads);
  if (chunk.staged_offset < 0) return;
  const int64_t first_position = BlockOf(chunk.position) * kBlockPositions;
  const int64_t count = StagedFloats(chunk, 1, args.head_dim);
  float* staged = args.staged_keys + chunk.staged_offset + head * count;
  for (int64_t i = threadIdx.x; i < count; i += kCopyThreads) {
    const int64_t line = i / kBlockPositions;
    const int64_t position = first_position +
                             line / args.head_dim * kBlockPositions +
                             i % kBlockPositions;
    staged[i] = StagedKey(args, chunk, head, position,
                          static_cast<int32_t>(line % args.head_dim));
  }
}

// Neighbouring threads are neighbouring dimensions: rows are read and values
// written in full lines, keys 32 floats apart.
__global__ void AppendToCacheKernel(const CacheAppendArgs args) {
  const Chunk& chunk = args.chunks[blockIdx.x / args.heads];
  const int32_t head = static_cast<int32_t>(blockIdx.x % args.heads);
  const HeadSpan& span = args.head[head];
  float* slot = args.cache + chunk.slot_offset;
  const int64_t head_start = int64_t{head} * args.head_dim;
  const int64_t count = int64_t{chunk.rows} * args.head_dim;
  for (int64_t i = threadIdx.x; i < count; i += kCopyThreads) {
    const int64_t row = i / args.head_dim;
    const int32_t dim = static_cast<int32_t>(i % args.head_dim);
    const int64_t step_row = chunk.first_row + row;
    const int64_t position = chunk.position + row;
    // Of rows that share a place in the ring the last one is written.
    if (row + span.key_capacity >= chunk.rows) {
      slot[span.key_offset + KeyIndex(RingPosition(position, span.key_capacity),
                                      dim, args.head_dim)] =
          args.key[step_row * args.key_row_stride + head_start + dim];
    }
    if (row + span.value_capacity >= chunk.rows) {
      slot[span.value_offset +
           ValueIndex(RingPosition(position, span.value_capacity), dim,
                      args.head_dim)] =
          args.value[step_row * args.value_row_stride + head_start + dim];
    }
  }
}

}  // namespace spanlm::kernels
