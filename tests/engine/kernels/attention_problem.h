// SPDX-License-Identifier: Apache-2.0
// Random inputs of the attention and cache kernels, of any odd shape.
#pragma once

#include <cstdint>
#include <random>
#include <vector>

#include "engine/kernels/cache_append.h"
#include "engine/kernels/span_attention.h"

namespace spanlm::kernels {

struct AttentionShape {
  int32_t head_dim = 16;
  std::vector<int32_t> reaches = {32};
  std::vector<int32_t> windows;  // empty: the reaches
  int32_t min_distance = 1;
  int32_t position_reach = -1;  // −1: the largest window
  bool shared_positions = true;
  bool has_biases = false;
  bool has_mask = true;
  bool renormalize = true;
  bool empty_start = false;

  int32_t heads() const { return static_cast<int32_t>(reaches.size()); }
};

// `count` floats, normally distributed.
std::vector<float> RandomFloats(std::mt19937* random, int64_t count,
                                float deviation = 1);

// Tables and a slab of zeros for `shape`.
class AttentionModel {
 public:
  AttentionModel(const AttentionShape& shape, int32_t slots, uint32_t seed);

  // Fills the slab with noise, as if much had been read.
  void FillSlab(std::mt19937* random);
  int64_t slot_floats() const { return slot_floats_; }
  const std::vector<float>& slab() const { return slab_; }
  const AttentionShape& shape() const { return shape_; }

  // Arguments that point into this model; rows, chunks and so on are to be
  // filled in.
  SpanAttentionArgs attention_args() const;
  CacheAppendArgs append_args();

 private:
  AttentionShape shape_;
  std::vector<HeadSpan> heads_;
  int64_t slot_floats_ = 0;
  std::vector<float> slab_;
  std::vector<float> mask_;
  std::vector<float> position_keys_;
  std::vector<float> content_bias_;
  std::vector<float> position_bias_;
  int32_t mask_columns_ = 0;
  int32_t position_columns_ = 0;
  int32_t position_reach_ = 0;
};

// A step's queries, keys and values: [rows, 3, heads, head_dim].
struct StepRows {
  std::vector<float> qkv;
  std::vector<Chunk> chunks;
};

// Stages, attends and, if `append`, appends. Returns [rows, heads, head_dim].
// If `reference` is given, it receives the same in double.
std::vector<float> RunStep(AttentionModel* model, const StepRows& rows,
                           bool append,
                           std::vector<double>* reference = nullptr);

}  // namespace spanlm::kernels
