// SPDX-License-Identifier: Apache-2.0
// One layer's attention for every row of a step; a row is one new symbol.
// What makes an architecture is data (docs/model.md):
//
//   score(d) = scale * ((q + content_bias) . k[p-d]
//                       + (q + position_bias) . position_key[d])
//   weight(d) = mask(d) * exp(score(d) - max score),    min_distance <= d <=
//   reach out = sum weight(d) v[p-d] / sum weight(d)            renormalize out
//   = sum weight(d) v[p-d] / sum exp(score(d) - max)  else, d <= window
//
// `max` runs over all distances of the denominator. Positions before a text's
// start have zero keys and values and are attended to, unless `empty_start`.
// Sums run over blocks of kBlockPositions absolute positions, rising, each
// block's sum complete before it is added: they depend on the row's position
// and on nothing else.
#pragma once

#include <cstdint>

#include "engine/kernels/cache_view.h"
#include "engine/kernels/stream.h"

namespace spanlm::kernels {

// Strides count floats. The tables live where the floats live.
struct SpanAttentionArgs {
  int32_t rows = 0;
  int32_t heads = 0;
  int32_t head_dim = 0;          // 1 to kMaxHeadDim
  const float* query = nullptr;  // [rows, heads, head_dim]
  int64_t query_row_stride = 0;
  const float* value = nullptr;  // [rows, heads, head_dim], the rows' own
  int64_t value_row_stride = 0;
  const float* cache = nullptr;        // the slab
  const float* staged_keys = nullptr;  // the rows' own keys, as StageKeys left
  const Chunk* chunks = nullptr;
  const int32_t* row_chunk = nullptr;  // [rows] index into `chunks`, rising
  const HeadSpan* head = nullptr;      // [heads]

  // mask(d) of head h at mask[h * mask_head_stride + mask_columns - 1 - d]: by
  // falling distance, as positions rise. 0 where d < min_distance or d > reach.
  // Each head's row has kBlockPositions zeros before it and after it. nullptr:
  // all 1, and every head has reach = window.
  const float* mask = nullptr;
  int32_t mask_columns = 0;  // above every reach
  int64_t mask_head_stride = 0;

  // Keys of distances in blocks, [columns / kBlockPositions][head_dim]
  // [kBlockPositions] for each head: distance d is column
  // position_columns - 1 - d. Distances past position_reach read its key.
  const float* position_keys = nullptr;
  int32_t position_columns = 0;  // whole blocks, above position_reach
  int32_t position_reach = 0;
  int64_t position_head_stride = 0;  // 0: all heads share one table

  const float* content_bias = nullptr;   // [heads, head_dim], nullptr: none
  const float* position_bias = nullptr;  // [heads, head_dim], nullptr: none
  int32_t min_distance = 0;  // 1: a symbol does not see itself; 0: it does
  bool renormalize = true;   // false: fairseq's denominator
  bool empty_start = false;  // distances past position - start do not count;
                             // needs min_distance 0
  float scale = 1;
  float* out = nullptr;  // [rows, heads, head_dim]
  int64_t out_row_stride = 0;
};

// Number of independent tasks, and floats of scratch that each thread needs.
int64_t SpanAttentionTasks(const SpanAttentionArgs& args);
int64_t SpanAttentionScratchFloats(const SpanAttentionArgs& args);

// Both return nullptr, or a static string saying why nothing was done. Neither
// allocates, synchronises, throws or logs. The CPU one does tasks [begin, end),
// so that the caller owns the threads; `scratch` is its thread's own, aligned
// to 64 bytes.
[[nodiscard]] const char* SpanAttentionCpu(const SpanAttentionArgs& args,
                                           int64_t begin, int64_t end,
                                           float* scratch);
[[nodiscard]] const char* SpanAttentionCuda(const SpanAttentionArgs& args,
                                            Stream stream);

}  // namespace spanlm::kernels
