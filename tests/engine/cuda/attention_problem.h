// SPDX-License-Identifier: Apache-2.0
// A random layer's attention in host memory: full rings and a step's rows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

#include "engine/kernels/cache_append.h"
#include "engine/kernels/span_attention.h"

namespace spanlm {

struct AttentionSetup {
  struct Head {
    int32_t reach;
    int32_t window;
  };
  struct Rows {
    int64_t position;
    int32_t count;
    int64_t start = 0;
  };
  int32_t head_dim = 64;
  std::vector<Head> heads = {{40, 40}};
  std::vector<Rows> chunks = {{0, 1}};
  int32_t min_distance = 1;
  bool renormalize = true;
  bool empty_start = false;
  bool has_mask = true;
  bool has_biases = false;
  bool has_staging = true;  // false: chunks of one row, min_distance 1
  bool shares_position_keys = true;
  int32_t position_reach = 0;  // 0: the longest window
};

// Owns all that its arguments point to. One thread at a time.
class AttentionProblem {
 public:
  explicit AttentionProblem(const AttentionSetup& setup);
  AttentionProblem(const AttentionProblem&) = delete;
  AttentionProblem& operator=(const AttentionProblem&) = delete;

  // Point to host memory. `out` is at first filled with NaN.
  const kernels::SpanAttentionArgs& attention() const { return attention_; }
  const kernels::CacheAppendArgs& append() const { return append_; }

  const std::vector<float>& out() const { return out_; }
  const std::vector<float>& slab() const { return slab_; }
  const std::vector<float>& staged() const { return staged_; }

  // All memory that the arguments point to.
  struct Region {
    void* data;
    size_t bytes;
  };
  std::vector<Region> regions();

 private:
  void AddHeads(const AttentionSetup& setup);
  void AddChunks(const AttentionSetup& setup);
  void AddTables(const AttentionSetup& setup);
  void SetArgs(const AttentionSetup& setup);
  std::vector<float> Random(int64_t count);

  std::mt19937 generator_{7};
  std::vector<kernels::HeadSpan> heads_;
  std::vector<kernels::Chunk> chunks_;
  std::vector<int32_t> row_chunk_;
  std::vector<float> rows_;  // [rows][query, key, value][heads][head_dim]
  std::vector<float> slab_, staged_, mask_, position_keys_, biases_, out_;
  kernels::SpanAttentionArgs attention_;
  kernels::CacheAppendArgs append_;
};

}  // namespace spanlm
