// SPDX-License-Identifier: Apache-2.0
// How the CPU's attention cuts its work: what every instruction set shares.
#pragma once

#include <cstdint>

#include "engine/kernels/span_attention.h"

namespace spanlm::kernels {

// Rows that share each block fetched.
inline constexpr int32_t kTileRows = 4;

// Both are [kTileRows][stride] of scratch. A row's position scores lie by
// falling distance: distance d at index `origin` − d, which is not below 0 for
// any lane of a block that holds a distance up to the window. Its scores, later
// its weights, lie by position from the first block that the tile attends to.
struct AttentionTask {
  const SpanAttentionArgs* args;
  const HeadSpan* span;
  int32_t head;
  int64_t stride;
  int64_t origin;
  float* position_scores;
  float* scores;
};

// Rows of one chunk: the row and position of the first one, and the positions
// in reach of any of them, in blocks.
struct AttentionRun {
  const Chunk* chunk;
  int32_t row;
  int32_t rows;
  int64_t position;
  int64_t first_block;
  int64_t last_block;
};

inline int64_t RoundUpToBlock(int64_t count) {
  return (count + kBlockPositions - 1) / kBlockPositions * kBlockPositions;
}

// Floats of a row of scratch for heads of this window.
inline int64_t ScratchStride(int64_t window) {
  return RoundUpToBlock(window) + 4 * kBlockPositions;
}

// The distances of one row that count, and how a block lies to them.
struct DistanceLimits {
  int64_t position;
  int64_t nearest;
  int64_t furthest;

  // Distance of the block's first lane; lane j has this less j.
  int64_t distance(int64_t block) const {
    return position - block * kBlockPositions;
  }
  bool Holds(int64_t first_distance) const {
    return first_distance >= nearest &&
           first_distance - (kBlockPositions - 1) <= furthest;
  }
  bool Within(int64_t first_distance) const {
    return first_distance <= furthest &&
           first_distance - (kBlockPositions - 1) >= nearest;
  }
};

}  // namespace spanlm::kernels
