// SPDX-License-Identifier: Apache-2.0
#include "tests/engine/cuda/attention_problem.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"

namespace spanlm {
namespace {

using kernels::Chunk;
using kernels::HeadSpan;
using kernels::kBlockPositions;

int32_t RoundUpToBlock(int32_t positions) {
  return (positions + kBlockPositions - 1) / kBlockPositions * kBlockPositions;
}

int32_t LongestWindow(const std::vector<AttentionSetup::Head>& heads) {
  int32_t longest = 0;
  for (const AttentionSetup::Head& head : heads) {
    longest = std::max(longest, head.window);
  }
  return longest;
}

template <typename T>
AttentionProblem::Region RegionOf(std::vector<T>* values) {
  return {values->data(), values->size() * sizeof(T)};
}

}  // namespace

AttentionProblem::AttentionProblem(const AttentionSetup& setup) {
  AddHeads(setup);
  AddChunks(setup);
  AddTables(setup);
  SetArgs(setup);
}

std::vector<AttentionProblem::Region> AttentionProblem::regions() {
  return {RegionOf(&heads_), RegionOf(&chunks_),        RegionOf(&row_chunk_),
          RegionOf(&rows_),  RegionOf(&slab_),          RegionOf(&staged_),
          RegionOf(&mask_),  RegionOf(&position_keys_), RegionOf(&biases_),
          RegionOf(&out_)};
}

std::vector<float> AttentionProblem::Random(int64_t count) {
  std::normal_distribution<float> distribution;
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = distribution(generator_);
  return values;
}

void AttentionProblem::AddHeads(const AttentionSetup& setup) {
  int64_t offset = 0;
  for (const AttentionSetup::Head& head : setup.heads) {
    HeadSpan span;
    span.reach = head.reach;
    span.window = head.window;
    span.key_capacity = RoundUpToBlock(head.window);
    span.value_capacity = RoundUpToBlock(head.reach);
    span.key_offset = offset;
    offset += int64_t{span.key_capacity} * setup.head_dim;
    span.value_offset = offset;
    offset += int64_t{span.value_capacity} * setup.head_dim;
    heads_.push_back(span);
  }
  slab_ = Random(offset * static_cast<int64_t>(setup.chunks.size()));
}

void AttentionProblem::AddChunks(const AttentionSetup& setup) {
  const auto heads = static_cast<int32_t>(setup.heads.size());
  const int64_t slot_floats =
      static_cast<int64_t>(slab_.size() / setup.chunks.size());
  int64_t staged_floats = 0;
  for (const AttentionSetup::Rows& rows : setup.chunks) {
    Chunk chunk;
    // Slots in falling order: a chunk's number and its slot differ.
    chunk.slot_offset = slot_floats * static_cast<int64_t>(setup.chunks.size() -
                                                           1 - chunks_.size());
    chunk.position = rows.position;
    chunk.start = rows.start;
    chunk.first_row = static_cast<int32_t>(row_chunk_.size());
    chunk.rows = rows.count;
    SPANLM_CHECK(setup.has_staging ||
                 (rows.count == 1 && setup.min_distance == 1));
    if (setup.has_staging) {
      chunk.staged_offset = staged_floats;
      staged_floats += StagedFloats(chunk, heads, setup.head_dim);
    }
    row_chunk_.insert(row_chunk_.end(), static_cast<size_t>(rows.count),
                      static_cast<int32_t>(chunks_.size()));
    chunks_.push_back(chunk);
  }
  const auto row_count = static_cast<int64_t>(row_chunk_.size());
  rows_ = Random(row_count * 3 * heads * setup.head_dim);
  staged_.assign(static_cast<size_t>(staged_floats),
                 std::numeric_limits<float>::quiet_NaN());
  out_.assign(static_cast<size_t>(row_count * heads * setup.head_dim),
              std::numeric_limits<float>::quiet_NaN());
}

void AttentionProblem::AddTables(const AttentionSetup& setup) {
  const auto heads = static_cast<int64_t>(setup.heads.size());
  const int32_t longest = LongestWindow(setup.heads);
  attention_.mask_columns = longest + 5;
  attention_.mask_head_stride = attention_.mask_columns + kBlockPositions;
  if (setup.has_mask) {
    mask_.assign(static_cast<size_t>(kBlockPositions +
                                     heads * attention_.mask_head_stride),
                 0.0F);
    attention_.mask = mask_.data() + kBlockPositions;
    for (int64_t h = 0; h < heads; ++h) {
      float* newest = mask_.data() + kBlockPositions +
                      h * attention_.mask_head_stride +
                      attention_.mask_columns - 1;
      for (int32_t d = setup.min_distance; d <= heads_[h].reach; ++d) {
        newest[-d] = 1.0F - 0.9F * static_cast<float>(d) /
                                static_cast<float>(heads_[h].reach);
      }
    }
  }
  attention_.position_reach =
      setup.position_reach > 0 ? setup.position_reach : longest;
  attention_.position_columns = RoundUpToBlock(attention_.position_reach + 1);
  const int64_t table = int64_t{attention_.position_columns} * setup.head_dim;
  attention_.position_head_stride = setup.shares_position_keys ? 0 : table;
  position_keys_ = Random(setup.shares_position_keys ? table : heads * table);
  if (setup.has_biases) biases_ = Random(2 * heads * setup.head_dim);
}

void AttentionProblem::SetArgs(const AttentionSetup& setup) {
  const auto heads = static_cast<int32_t>(setup.heads.size());
  const int64_t width = int64_t{heads} * setup.head_dim;
  attention_.rows = static_cast<int32_t>(row_chunk_.size());
  attention_.heads = heads;
  attention_.head_dim = setup.head_dim;
  attention_.query = rows_.data();
  attention_.query_row_stride = 3 * width;
  attention_.value = rows_.data() + 2 * width;
  attention_.value_row_stride = 3 * width;
  attention_.cache = slab_.data();
  attention_.staged_keys = staged_.data();
  attention_.chunks = chunks_.data();
  attention_.row_chunk = row_chunk_.data();
  attention_.head = heads_.data();
  attention_.position_keys = position_keys_.data();
  if (setup.has_biases) {
    attention_.content_bias = biases_.data();
    attention_.position_bias = biases_.data() + width;
  }
  attention_.min_distance = setup.min_distance;
  attention_.renormalize = setup.renormalize;
  attention_.empty_start = setup.empty_start;
  attention_.scale = 1.0F / std::sqrt(static_cast<float>(setup.head_dim));
  attention_.out = out_.data();
  attention_.out_row_stride = width;

  append_.heads = heads;
  append_.head_dim = setup.head_dim;
  append_.key = rows_.data() + width;
  append_.key_row_stride = 3 * width;
  append_.value = attention_.value;
  append_.value_row_stride = 3 * width;
  append_.cache = slab_.data();
  append_.staged_keys = staged_.data();
  append_.head = heads_.data();
  append_.chunks = chunks_.data();
  append_.chunk_count = static_cast<int32_t>(chunks_.size());
}

}  // namespace spanlm
