// SPDX-License-Identifier: Apache-2.0
// Which blocks a row attends to and where their keys and values lie: the index
// arithmetic of the device's attention, so that tests run it on the host.
#pragma once

#include <cstdint>

#include "engine/kernels/cache_view.h"
#include "engine/kernels/span_attention.h"

namespace spanlm::kernels {

// The absolute positions a row attends to, both ends included, and what it
// takes values of. Never empty.
struct RowRange {
  int64_t position = 0;      // of the row
  int64_t oldest_key = 0;    // first in the denominator
  int64_t oldest_value = 0;  // first that can have a weight
  int64_t newest = 0;
};

constexpr RowRange RangeOfRow(const SpanAttentionArgs& args, const Chunk& chunk,
                              const HeadSpan& span, int32_t row) {
  const int64_t position = chunk.position + (row - chunk.first_row);
  RowRange range;
  range.position = position;
  range.oldest_key = position - span.window;
  range.oldest_value = position - span.reach;
  range.newest = position - args.min_distance;
  if (args.empty_start && range.oldest_key < chunk.start) {
    range.oldest_key = chunk.start;
  }
  if (range.oldest_value < range.oldest_key) {
    range.oldest_value = range.oldest_key;
  }
  return range;
}

// The keys of a block of absolute positions, [head_dim][kBlockPositions]: the
// chunk's own from where its position lies on, the ring's before.
constexpr const float* KeysOfBlock(const SpanAttentionArgs& args,
                                   const Chunk& chunk, int32_t head,
                                   int64_t block) {
  const int64_t own_block = block - BlockOf(chunk.position);
  if (chunk.staged_offset >= 0 && own_block >= 0) {
    return args.staged_keys + chunk.staged_offset +
           (head * StagedBlocks(chunk) + own_block) * args.head_dim *
               kBlockPositions;
  }
  const HeadSpan& span = args.head[head];
  return args.cache + chunk.slot_offset + span.key_offset +
         KeyIndex(RingPosition(block * kBlockPositions, span.key_capacity), 0,
                  args.head_dim);
}

// The value of an absolute position, [head_dim].
constexpr const float* ValueAt(const SpanAttentionArgs& args,
                               const Chunk& chunk, int32_t head,
                               int64_t position) {
  const int64_t own_row = position - chunk.position;
  if (own_row >= 0) {
    return args.value + (chunk.first_row + own_row) * args.value_row_stride +
           int64_t{head} * args.head_dim;
  }
  const HeadSpan& span = args.head[head];
  return args.cache + chunk.slot_offset + span.value_offset +
         ValueIndex(RingPosition(position, span.value_capacity), 0,
                    args.head_dim);
}

// The position key of a distance, whose dimensions are kBlockPositions apart.
// Distances outside the table, whose scores are not used, read its ends.
constexpr const float* PositionKeyAt(const SpanAttentionArgs& args,
                                     int32_t head, int64_t distance) {
  if (distance < 0) distance = 0;
  if (distance > args.position_reach) distance = args.position_reach;
  return args.position_keys + head * args.position_head_stride +
         KeyIndex(args.position_columns - 1 - distance, 0, args.head_dim);
}

// The mask's entry of a distance from min_distance to the head's reach.
constexpr float MaskAt(const SpanAttentionArgs& args, int32_t head,
                       int64_t distance) {
  if (args.mask == nullptr) return 1.0F;
  return args
      .mask[head * args.mask_head_stride + args.mask_columns - 1 - distance];
}

}  // namespace spanlm::kernels
