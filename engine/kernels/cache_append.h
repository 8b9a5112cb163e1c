// SPDX-License-Identifier: Apache-2.0
// A step's keys and values on their way into the rings.
//
// A layer does StageKeys, then attention, then AppendToCache, so that neither
// the scores nor the state depend on how a text is cut into chunks.
#pragma once

#include <cstdint>

#include "engine/kernels/cache_view.h"
#include "engine/kernels/stream.h"

namespace spanlm::kernels {

// Strides count floats. The tables live where the floats live.
struct CacheAppendArgs {
  int32_t heads = 0;
  int32_t head_dim = 0;
  const float* key = nullptr;  // [rows, heads, head_dim]
  int64_t key_row_stride = 0;
  const float* value = nullptr;  // [rows, heads, head_dim]
  int64_t value_row_stride = 0;
  float* cache = nullptr;          // the slab
  float* staged_keys = nullptr;    // laid out as Chunk says
  const HeadSpan* head = nullptr;  // [heads]
  const Chunk* chunks = nullptr;   // [chunk_count]
  int32_t chunk_count = 0;
};

// Fills `staged_keys` of the chunks that have a staged_offset: of the first
// block, the lanes before the chunk's position come from the ring; lanes past
// the chunk's last row become zero. Tasks [begin, end) of chunk_count * heads,
// in this order; tasks are independent. Returns nullptr, or a static string
// saying why nothing was done.
[[nodiscard]] const char* StageKeysCpu(const CacheAppendArgs& args,
                                       int64_t begin, int64_t end);
[[nodiscard]] const char* StageKeysCuda(const CacheAppendArgs& args,
                                        Stream stream);

// Writes each chunk's last rows, as many as a ring holds, into the rings.
// Tasks and result as above.
[[nodiscard]] const char* AppendToCacheCpu(const CacheAppendArgs& args,
                                           int64_t begin, int64_t end);
[[nodiscard]] const char* AppendToCacheCuda(const CacheAppendArgs& args,
                                            Stream stream);

}  // namespace spanlm::kernels
