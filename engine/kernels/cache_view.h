// SPDX-License-Identifier: Apache-2.0
// How kernels see the slab of caches and a step's new symbols.
//
// Position p of a head lies at ring position p mod capacity. Keys are kept in
// blocks of kBlockPositions, [block][head_dim][position in the block], so that
// scores of neighbouring positions are computed side by side; values as
// [position][head_dim]. As capacities are whole blocks, a block of absolute
// positions is one block of the ring; the newest block and the oldest one may
// share it, in different lanes.
#pragma once

#include <cstdint>

namespace spanlm::kernels {

// Positions in a block: the unit in which attention sums.
inline constexpr int32_t kBlockPositions = 32;
inline constexpr int32_t kMaxHeadDim = 128;

// One head's rings inside a slot, and what it attends to. Offsets count floats
// from the slot's beginning; the rest are positions.
struct HeadSpan {
  int64_t key_offset = 0;
  int64_t value_offset = 0;
  int32_t key_capacity = 0;    // whole blocks, at least `window`
  int32_t value_capacity = 0;  // whole blocks, at least `reach`
  int32_t reach = 0;           // furthest distance that can have a weight
  int32_t window = 0;          // furthest distance in the denominator, at
                               // least `reach`; equal to it if renormalised
};

// The new symbols of one sequence: rows [first_row, first_row + rows) of the
// step, at positions position, position + 1, … What lies before `position` is
// in the rings, which a step changes only after all its attention.
struct Chunk {
  int64_t slot_offset = 0;  // floats from the slab's beginning
  int64_t position = 0;     // of the first row
  int64_t start = 0;        // position at which the text's reading began
  // Floats from `staged_keys` to this chunk's keys, which lie there as
  // [heads][StagedBlocks(chunk)][head_dim][kBlockPositions]; the first block
  // is the one that holds `position`. −1: not staged, allowed if no row attends
  // to a row of this chunk (one row, min_distance 1).
  int64_t staged_offset = -1;
  int32_t first_row = 0;
  int32_t rows = 0;
};

// Blocks of absolute positions that the chunk's rows touch.
constexpr int64_t StagedBlocks(const Chunk& chunk) {
  return (chunk.position % kBlockPositions + chunk.rows + kBlockPositions - 1) /
         kBlockPositions;
}

// Floats of one chunk's staged keys.
constexpr int64_t StagedFloats(const Chunk& chunk, int32_t heads,
                               int32_t head_dim) {
  return StagedBlocks(chunk) * heads * head_dim * kBlockPositions;
}

// Block of absolute positions that holds `position`, which may be negative.
constexpr int64_t BlockOf(int64_t position) {
  return position >= 0 ? position / kBlockPositions
                       : -((kBlockPositions - 1 - position) / kBlockPositions);
}

// Place of `position`, which may be negative, in a ring.
constexpr int64_t RingPosition(int64_t position, int32_t capacity) {
  const int64_t rest = position % capacity;
  return rest < 0 ? rest + capacity : rest;
}

// Index of a key's element in its head's key ring, and of a value's.
constexpr int64_t KeyIndex(int64_t ring_position, int32_t dim,
                           int32_t head_dim) {
  return (ring_position / kBlockPositions * head_dim + dim) * kBlockPositions +
         ring_position % kBlockPositions;
}
constexpr int64_t ValueIndex(int64_t ring_position, int32_t dim,
                             int32_t head_dim) {
  return ring_position * head_dim + dim;
}

}  // namespace spanlm::kernels
