// SPDX-License-Identifier: Apache-2.0
// How many threads a kernel is launched with, and whether a device takes them:
// plain arithmetic, so that it is tested without a device.
#pragma once

#include <cstdint>

#include "engine/kernels/cache_append.h"
#include "engine/kernels/span_attention.h"

namespace spanlm::kernels {

// Limits of every device since compute capability 7.0.
inline constexpr int64_t kMaxGridBlocks = 2147483647;  // in x
inline constexpr int32_t kMaxBlockThreads = 1024;
inline constexpr int32_t kMaxStaticSharedBytes = 48 * 1024;

// Threads of a warp; one for each position of a block.
inline constexpr int32_t kWarpThreads = 32;
static_assert(kWarpThreads == kBlockPositions);
// (Row, head) pairs of a thread block of the attention; a warp does each.
inline constexpr int32_t kAttentionWarps = 4;
// Threads that copy a chunk's rows of one head.
inline constexpr int32_t kCopyThreads = 256;

struct LaunchShape {
  int64_t blocks = 0;   // 0: nothing to launch
  int32_t threads = 0;  // of a block
};

constexpr LaunchShape ShapeOfSpanAttention(const SpanAttentionArgs& args) {
  const int64_t tasks = int64_t{args.rows} * args.heads;
  return {(tasks + kAttentionWarps - 1) / kAttentionWarps,
          kAttentionWarps * kWarpThreads};
}

constexpr LaunchShape ShapeOfCacheAppend(const CacheAppendArgs& args) {
  return {int64_t{args.chunk_count} * args.heads, kCopyThreads};
}

// nullptr, or a static string naming the limit that `shape` breaks.
constexpr const char* CheckLaunch(const LaunchShape& shape) {
  if (shape.blocks > kMaxGridBlocks) return "launch: over 2^31 - 1 blocks";
  if (shape.threads > kMaxBlockThreads) return "launch: over 1024 threads";
  return nullptr;
}

// nullptr, or a static string naming what is wrong with sizes that the host can
// see; what lies behind the tables' pointers is the caller's to get right.
constexpr const char* CheckSpanAttention(const SpanAttentionArgs& args) {
  if (args.rows < 0) return "span attention: negative rows";
  if (args.heads < 1) return "span attention: no head";
  if (args.head_dim < 1) return "span attention: head_dim below 1";
  if (args.head_dim > kMaxHeadDim) return "span attention: head_dim over 128";
  if (args.min_distance < 0 || args.min_distance > 1) {
    return "span attention: min_distance is neither 0 nor 1";
  }
  if (args.empty_start && args.min_distance != 0) {
    return "span attention: empty_start needs min_distance 0";
  }
  if (args.position_columns % kBlockPositions != 0) {
    return "span attention: position_columns is not whole blocks";
  }
  if (args.position_reach < 0 || args.position_reach >= args.position_columns) {
    return "span attention: position_reach is not below position_columns";
  }
  return nullptr;
}
constexpr const char* CheckCacheAppend(const CacheAppendArgs& args) {
  if (args.chunk_count < 0) return "cache append: negative chunk_count";
  if (args.heads < 1) return "cache append: no head";
  if (args.head_dim < 1) return "cache append: head_dim below 1";
  if (args.head_dim > kMaxHeadDim) return "cache append: head_dim over 128";
  return nullptr;
}

}  // namespace spanlm::kernels
