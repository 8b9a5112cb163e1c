// SPDX-License-Identifier: Apache-2.0
#include "engine/kernels/cache_append.h"

#include <algorithm>

namespace spanlm::kernels {
namespace {

bool TasksFit(const CacheAppendArgs& args, int64_t begin, int64_t end) {
  return begin >= 0 && end <= int64_t{args.chunk_count} * args.heads;
}

// A head's keys of one row, [head_dim].
const float* KeyRow(const CacheAppendArgs& args, int64_t row, int32_t head) {
  return args.key + row * args.key_row_stride + int64_t{head} * args.head_dim;
}

void StageHead(const CacheAppendArgs& args, const Chunk& chunk, int32_t head) {
  const HeadSpan& span = args.head[head];
  const int64_t lead = chunk.position % kBlockPositions;
  const int64_t blocks = StagedBlocks(chunk);
  float* staged = args.staged_keys + chunk.staged_offset +
                  blocks * head * args.head_dim * kBlockPositions;
  const float* ring =
      args.cache + chunk.slot_offset + span.key_offset +
      RingPosition(chunk.position - lead, span.key_capacity) * args.head_dim;
  for (int64_t block = 0; block < blocks; ++block) {
    const int64_t first = block * kBlockPositions - lead;  // row of lane 0
    const int64_t begin = std::max<int64_t>(0, -first);
    const int64_t end = std::min<int64_t>(kBlockPositions, chunk.rows - first);
    const float* rows = KeyRow(args, chunk.first_row + first, head);
    for (int32_t i = 0; i < args.head_dim; ++i, staged += kBlockPositions) {
      std::copy_n(ring + i * kBlockPositions, begin, staged);
      for (int64_t lane = begin; lane < end; ++lane) {
        staged[lane] = rows[lane * args.key_row_stride + i];
      }
      std::fill(staged + end, staged + kBlockPositions, 0.0F);
    }
  }
}

void AppendHead(const CacheAppendArgs& args, const Chunk& chunk, int32_t head) {
  const HeadSpan& span = args.head[head];
  float* slot = args.cache + chunk.slot_offset;
  for (int64_t r = std::max(0, chunk.rows - span.key_capacity); r < chunk.rows;
       ++r) {
    const float* row = KeyRow(args, chunk.first_row + r, head);
    float* key = slot + span.key_offset +
                 KeyIndex(RingPosition(chunk.position + r, span.key_capacity),
                          0, args.head_dim);
    for (int32_t i = 0; i < args.head_dim; ++i)
      key[i * kBlockPositions] = row[i];
  }
  for (int64_t r = std::max(0, chunk.rows - span.value_capacity);
       r < chunk.rows; ++r) {
    std::copy_n(args.value + (chunk.first_row + r) * args.value_row_stride +
                    int64_t{head} * args.head_dim,
                args.head_dim,
                slot + span.value_offset +
                    RingPosition(chunk.position + r, span.value_capacity) *
                        args.head_dim);
  }
}

}  // namespace

const char* StageKeysCpu(const CacheAppendArgs& args, int64_t begin,
                         int64_t end) {
  if (!TasksFit(args, begin, end)) return "stage keys: tasks out of range";
  for (int64_t task = begin; task < end; ++task) {
    const Chunk& chunk = args.chunks[task / args.heads];
    if (chunk.staged_offset < 0) continue;
    StageHead(args, chunk, static_cast<int32_t>(task % args.heads));
  }
  return nullptr;
}

const char* AppendToCacheCpu(const CacheAppendArgs& args, int64_t begin,
                             int64_t end) {
  if (!TasksFit(args, begin, end)) return "append to cache: tasks out of range";
  for (int64_t task = begin; task < end; ++task) {
    AppendHead(args, args.chunks[task / args.heads],
               static_cast<int32_t>(task % args.heads));
  }
  return nullptr;
}

}  // namespace spanlm::kernels
