// SPDX-License-Identifier: Apache-2.0
#include "tests/engine/kernels/attention_problem.h"

#include <algorithm>
#include <cmath>

#include "engine/kernels/reference/span_attention.h"
#include "gtest/gtest.h"
#include "hwy/aligned_allocator.h"

namespace spanlm::kernels {
namespace {

int32_t RoundUp(int32_t positions) {
  return (positions + kBlockPositions - 1) / kBlockPositions * kBlockPositions;
}

}  // namespace

std::vector<float> RandomFloats(std::mt19937* random, int64_t count,
                                float deviation) {
  std::normal_distribution<float> normal(0, deviation);
  std::vector<float> floats(static_cast<size_t>(count));
  for (float& v : floats) v = normal(*random);
  return floats;
}

AttentionModel::AttentionModel(const AttentionShape& shape, int32_t slots,
                               uint32_t seed)
    : shape_(shape) {
  std::mt19937 random(seed);
  if (shape_.windows.empty()) shape_.windows = shape_.reaches;
  const int32_t dim = shape_.head_dim;
  for (int32_t h = 0; h < shape_.heads(); ++h) {
    HeadSpan span;
    span.reach = shape_.reaches[h];
    span.window = shape_.windows[h];
    span.key_capacity = RoundUp(span.window);
    span.value_capacity = RoundUp(span.reach);
    span.key_offset = slot_floats_;
    span.value_offset = slot_floats_ + int64_t{span.key_capacity} * dim;
    slot_floats_ = span.value_offset + int64_t{span.value_capacity} * dim;
    heads_.push_back(span);
  }
  slab_.assign(static_cast<size_t>(slot_floats_ * slots), 0);
  const int32_t window =
      *std::max_element(shape_.windows.begin(), shape_.windows.end());
  position_reach_ = shape_.position_reach < 0 ? window : shape_.position_reach;
  position_columns_ = RoundUp(position_reach_ + 1);
  const int64_t tables = shape_.shared_positions ? 1 : shape_.heads();
  position_keys_ = RandomFloats(&random, tables * position_columns_ * dim, 0.5);
  content_bias_ = RandomFloats(&random, int64_t{shape_.heads()} * dim, 0.5);
  position_bias_ = RandomFloats(&random, int64_t{shape_.heads()} * dim, 0.5);

  mask_columns_ = window + 1;
  const int64_t stride = mask_columns_ + 2 * kBlockPositions;
  mask_.assign(static_cast<size_t>(stride * shape_.heads()), 0);
  for (int32_t h = 0; h < shape_.heads(); ++h) {
    for (int32_t d = shape_.min_distance; d <= shape_.reaches[h]; ++d) {
      mask_[h * stride + kBlockPositions + mask_columns_ - 1 - d] =
          std::min(1.0F, static_cast<float>(shape_.reaches[h] + 1 - d) / 8);
    }
  }
}

void AttentionModel::FillSlab(std::mt19937* random) {
  slab_ = RandomFloats(random, static_cast<int64_t>(slab_.size()));
}

SpanAttentionArgs AttentionModel::attention_args() const {
  SpanAttentionArgs args;
  args.heads = shape_.heads();
  args.head_dim = shape_.head_dim;
  args.cache = slab_.data();
  args.head = heads_.data();
  if (shape_.has_mask) {
    args.mask = mask_.data() + kBlockPositions;
    args.mask_columns = mask_columns_;
    args.mask_head_stride = mask_columns_ + 2 * kBlockPositions;
  }
  args.position_keys = position_keys_.data();
  args.position_columns = position_columns_;
  args.position_reach = position_reach_;
  args.position_head_stride =
      shape_.shared_positions ? 0
                              : int64_t{position_columns_} * shape_.head_dim;
  if (shape_.has_biases) {
    args.content_bias = content_bias_.data();
    args.position_bias = position_bias_.data();
  }
  args.min_distance = shape_.min_distance;
  args.renormalize = shape_.renormalize;
  args.empty_start = shape_.empty_start;
  args.scale = 1 / std::sqrt(static_cast<float>(shape_.head_dim));
  return args;
}

CacheAppendArgs AttentionModel::append_args() {
  CacheAppendArgs args;
  args.heads = shape_.heads();
  args.head_dim = shape_.head_dim;
  args.cache = slab_.data();
  args.head = heads_.data();
  return args;
}

std::vector<float> RunStep(AttentionModel* model, const StepRows& step,
                           bool append, std::vector<double>* reference) {
  const int64_t dim = int64_t{model->shape().heads()} * model->shape().head_dim;
  const auto rows = static_cast<int32_t>(step.qkv.size() / (3 * dim));
  std::vector<Chunk> chunks = step.chunks;
  std::vector<int32_t> row_chunk;
  int64_t staged_floats = 0;
  for (size_t c = 0; c < chunks.size(); ++c) {
    row_chunk.insert(row_chunk.end(), chunks[c].rows, static_cast<int>(c));
    if (chunks[c].rows == 1 && model->shape().min_distance == 1) continue;
    chunks[c].staged_offset = staged_floats;
    staged_floats += StagedFloats(chunks[c], model->shape().heads(),
                                  model->shape().head_dim);
  }
  std::vector<float> staged(static_cast<size_t>(staged_floats), NAN);
  std::vector<float> out(static_cast<size_t>(rows * dim), NAN);

  CacheAppendArgs cache = model->append_args();
  cache.key = step.qkv.data() + dim;
  cache.value = step.qkv.data() + 2 * dim;
  cache.key_row_stride = cache.value_row_stride = 3 * dim;
  cache.staged_keys = staged.data();
  cache.chunks = chunks.data();
  cache.chunk_count = static_cast<int32_t>(chunks.size());
  const int64_t cache_tasks = int64_t{cache.chunk_count} * cache.heads;
  EXPECT_EQ(StageKeysCpu(cache, 0, cache_tasks), nullptr);

  SpanAttentionArgs args = model->attention_args();
  args.rows = rows;
  args.query = step.qkv.data();
  args.value = cache.value;
  args.query_row_stride = args.value_row_stride = 3 * dim;
  args.staged_keys = staged.data();
  args.chunks = chunks.data();
  args.row_chunk = row_chunk.data();
  args.out = out.data();
  args.out_row_stride = dim;
  const int64_t scratch_floats = SpanAttentionScratchFloats(args);
  const auto scratch =
      hwy::AllocateAligned<float>(static_cast<size_t>(scratch_floats));
  std::fill_n(scratch.get(), scratch_floats, NAN);
  EXPECT_EQ(SpanAttentionCpu(args, 0, SpanAttentionTasks(args), scratch.get()),
            nullptr);
  if (reference != nullptr) {
    *reference = SpanAttentionReference(args, cache.key, cache.key_row_stride);
  }
  if (append) {
    EXPECT_EQ(AppendToCacheCpu(cache, 0, cache_tasks), nullptr);
  }
  return out;
}

}  // namespace spanlm::kernels
