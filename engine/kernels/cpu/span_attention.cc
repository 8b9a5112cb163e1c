// SPDX-License-Identifier: Apache-2.0
// A task is one head of up to kTileRows rows. All of them read the same
// position keys; those of one chunk read the same keys and values too, so each
// block that is fetched serves the whole tile. Every element's sums run in one
// order, whatever the tile.
#include "engine/kernels/span_attention.h"

#include <algorithm>
#include <cstdint>
#include <limits>

#include "engine/kernels/cpu/attention_task.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/cpu/span_attention.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
// After the two above, as Highway wants it.
#include "engine/kernels/cpu/attention_blocks-inl.h"

HWY_BEFORE_NAMESPACE();
namespace spanlm::kernels::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// query + bias of `kRows` rows, [kRows][kMaxHeadDim].
HWY_INLINE void LoadQueries(const AttentionTask& task, int32_t row,
                            int32_t rows, const float* bias, float* queries) {
  const SpanAttentionArgs& args = *task.args;
  const int64_t first = int64_t{task.head} * args.head_dim;
  for (int32_t r = 0; r < rows; ++r, queries += kMaxHeadDim) {
    const float* query = args.query + (row + r) * args.query_row_stride + first;
    for (int32_t i = 0; i < args.head_dim; ++i) {
      queries[i] = bias == nullptr ? query[i] : query[i] + bias[first + i];
    }
  }
}

// Position scores of the tile's rows, for every distance of the window.
void ScorePositions(const AttentionTask& task, int32_t row, int32_t rows) {
  const SpanAttentionArgs& args = *task.args;
  HWY_ALIGN float queries[kTileRows * kMaxHeadDim];
  LoadQueries(task, row, rows, args.position_bias, queries);
  const int64_t columns = args.position_columns;
  const int64_t known = std::min(task.span->window, args.position_reach);
  const int64_t first = (columns - 1 - known) / kBlockPositions;
  const int64_t end = (columns - 1 - args.min_distance) / kBlockPositions + 1;
  const int64_t shift = task.origin - (columns - 1);
  const float* keys =
      args.position_keys + task.head * args.position_head_stride;
  for (int64_t block = first; block < end; ++block) {
    ScoreRows(queries, rows, keys + block * kBlockPositions * args.head_dim,
              args.head_dim,
              task.position_scores + shift + block * kBlockPositions,
              task.stride);
  }
  for (int32_t r = 0; r < rows; ++r) {
    float* scores = task.position_scores + r * task.stride;
    const int64_t known_index = task.origin - known;
    std::fill_n(scores, known_index, scores[known_index]);
    std::fill(scores + shift + end * kBlockPositions,
              scores + task.origin + kBlockPositions, 0.0F);
  }
}

const float* KeyBlock(const AttentionTask& task, const Chunk& chunk,
                      int64_t block) {
  const SpanAttentionArgs& args = *task.args;
  const int64_t own = block - chunk.position / kBlockPositions;
  if (own >= 0 && chunk.staged_offset >= 0) {
    return args.staged_keys + chunk.staged_offset +
           (StagedBlocks(chunk) * task.head + own) * args.head_dim *
               kBlockPositions;
  }
  return args.cache + chunk.slot_offset + task.span->key_offset +
         RingPosition(block * kBlockPositions, task.span->key_capacity) *
             args.head_dim;
}

DistanceLimits LimitsOf(const AttentionTask& task, const AttentionRun& run,
                        int32_t row) {
  const int64_t position = run.position + row;
  int64_t furthest = task.span->window;
  if (task.args->empty_start) {
    furthest = std::min(furthest, position - run.chunk->start);
  }
  return {position, task.args->min_distance, furthest};
}

// Turns a row's products into scores, −∞ at distances that do not count.
// Returns the largest.
float FinishScores(const AttentionTask& task, const AttentionRun& run,
                   int32_t row) {
  const D d;
  const V scale = hn::Set(d, task.args->scale);
  const DistanceLimits limits = LimitsOf(task, run, row);
  float* scores = task.scores + row * task.stride;
  const float* positions = task.position_scores + row * task.stride;
  V max = hn::Set(d, -kInfinity);
  for (int64_t block = run.first_block; block <= run.last_block;
       ++block, scores += kBlockPositions) {
    const int64_t distance = limits.distance(block);
    if (!limits.Holds(distance)) continue;
    const float* position = positions + task.origin - distance;
    // Lanes of distances in the limits, of use only at an edge.
    const V first_lane =
        hn::Set(d, static_cast<float>(distance - limits.furthest));
    const V last_lane =
        hn::Set(d, static_cast<float>(distance - limits.nearest));
    const bool within = limits.Within(distance);
    for (int lane = 0; lane < kBlockPositions; lane += kLanes) {
      V score = hn::Mul(scale, hn::Add(hn::LoadU(d, scores + lane),
                                       hn::LoadU(d, position + lane)));
      if (!within) {
        const V lanes = hn::Iota(d, static_cast<float>(lane));
        score = hn::IfThenElse(
            hn::And(hn::Ge(lanes, first_lane), hn::Le(lanes, last_lane)), score,
            hn::Set(d, -kInfinity));
      }
      max = hn::Max(max, score);
      hn::StoreU(score, d, scores + lane);
    }
  }
  return hn::GetLane(hn::MaxOfLanes(d, max));
}

// Turns a row's scores into weights in place. Returns the denominator.
float WeighScores(const AttentionTask& task, const AttentionRun& run,
                  int32_t row, float max_score) {
  const D d;
  const SpanAttentionArgs& args = *task.args;
  const V max = hn::Set(d, max_score);
  const DistanceLimits limits = LimitsOf(task, run, row);
  const float* mask = args.mask == nullptr
                          ? nullptr
                          : args.mask + task.head * args.mask_head_stride +
                                args.mask_columns - 1;
  float* scores = task.scores + row * task.stride;
  float denominator = 0;
  for (int64_t block = run.first_block; block <= run.last_block;
       ++block, scores += kBlockPositions) {
    const int64_t distance = limits.distance(block);
    if (!limits.Holds(distance)) {
      std::fill_n(scores, kBlockPositions, 0.0F);
      continue;
    }
    const bool in_reach = distance - (kBlockPositions - 1) <= task.span->reach;
    V sum = hn::Zero(d);
    for (int lane = 0; lane < kBlockPositions; lane += kLanes) {
      const V e = ExpKeepingNaN(d, hn::Sub(hn::LoadU(d, scores + lane), max));
      V weight = e;
      if (mask != nullptr) {
        weight = in_reach ? hn::Mul(e, hn::LoadU(d, mask - distance + lane))
                          : hn::Zero(d);
      }
      sum = hn::Add(sum, args.renormalize ? weight : e);
      hn::StoreU(weight, d, scores + lane);
    }
    denominator += hn::GetLane(hn::SumOfLanes(d, sum));
  }
  return denominator;
}

template <int kRows>
void SumValues(const AttentionTask& task, const AttentionRun& run, int32_t row,
               float* totals) {
  const SpanAttentionArgs& args = *task.args;
  const Chunk& chunk = *run.chunk;
  const int64_t position = run.position + row;
  const int64_t last = position + kRows - 1 - args.min_distance;
  int64_t first = position - task.span->reach;
  if (args.empty_start) first = std::max(first, chunk.start);
  const float* weights = task.scores + row * task.stride;
  const float* ring = args.cache + chunk.slot_offset + task.span->value_offset;
  const float* own = args.value + int64_t{task.head} * args.head_dim;
  for (int64_t block = BlockOf(first); block <= BlockOf(last); ++block) {
    const int64_t begin = std::max(first, block * kBlockPositions);
    const int64_t end = std::min(last + 1, (block + 1) * kBlockPositions);
    const int64_t old_end = std::clamp(chunk.position, begin, end);
    const float* w = weights + begin - run.first_block * kBlockPositions;
    const ValueSegment segments[2] = {
        {ring + RingPosition(begin, task.span->value_capacity) * args.head_dim,
         args.head_dim, w, old_end - begin},
        {own + (chunk.first_row + old_end - chunk.position) *
                   args.value_row_stride,
         args.value_row_stride, w + (old_end - begin), end - old_end}};
    int32_t dim = 0;
    for (; dim + kValueVectors * kLanes <= args.head_dim;
         dim += kValueVectors * kLanes) {
      AddBlock<D, kRows, kValueVectors>(segments, task.stride, dim, totals);
    }
    for (; dim + kLanes <= args.head_dim; dim += kLanes) {
      AddBlock<D, kRows, 1>(segments, task.stride, dim, totals);
    }
    for (; dim < args.head_dim; ++dim) {
      AddBlock<hn::CappedTag<float, 1>, kRows, 1>(segments, task.stride, dim,
                                                  totals);
    }
  }
}

void AttendRun(const AttentionTask& task, const AttentionRun& run) {
  const SpanAttentionArgs& args = *task.args;
  HWY_ALIGN float queries[kTileRows * kMaxHeadDim];
  LoadQueries(task, run.row, run.rows, args.content_bias, queries);
  for (int64_t block = run.first_block; block <= run.last_block; ++block) {
    ScoreRows(
        queries, run.rows, KeyBlock(task, *run.chunk, block), args.head_dim,
        task.scores + (block - run.first_block) * kBlockPositions, task.stride);
  }
  float denominators[kTileRows];
  for (int32_t r = 0; r < run.rows; ++r) {
    denominators[r] = WeighScores(task, run, r, FinishScores(task, run, r));
  }
  HWY_ALIGN float totals[kTileRows * kMaxHeadDim] = {};
  if (run.rows == kTileRows) {
    SumValues<kTileRows>(task, run, 0, totals);
  } else {
    for (int32_t r = 0; r < run.rows; ++r) {
      SumValues<1>(task, run, r, totals + r * kMaxHeadDim);
    }
  }
  for (int32_t r = 0; r < run.rows; ++r) {
    float* out = args.out + (run.row + r) * args.out_row_stride +
                 int64_t{task.head} * args.head_dim;
    for (int32_t i = 0; i < args.head_dim; ++i) {
      out[i] = totals[r * kMaxHeadDim + i] / denominators[r];
    }
  }
}

AttentionTask MakeTask(const SpanAttentionArgs& args, int32_t head,
                       float* scratch) {
  const HeadSpan& span = args.head[head];
  AttentionTask task;
  task.args = &args;
  task.span = &span;
  task.head = head;
  task.stride = ScratchStride(span.window);
  // Whole blocks of the table stay whole blocks here.
  const int64_t missing =
      int64_t{span.window} + kBlockPositions - args.position_columns;
  const int64_t shift =
      missing > 0 ? RoundUpToBlock(missing)
                  : -(-missing / kBlockPositions) * int64_t{kBlockPositions};
  task.origin = shift + args.position_columns - 1;
  task.position_scores = scratch;
  task.scores = scratch + kTileRows * task.stride;
  return task;
}

void Run(const SpanAttentionArgs& args, int64_t begin, int64_t end,
         float* scratch) {
  for (int64_t i = begin; i < end; ++i) {
    const AttentionTask task =
        MakeTask(args, static_cast<int32_t>(i % args.heads), scratch);
    const auto first = static_cast<int32_t>(i / args.heads) * kTileRows;
    const int32_t last = std::min(args.rows, first + kTileRows);
    ScorePositions(task, first, last - first);
    for (int32_t row = first; row < last;) {
      const Chunk& chunk = args.chunks[args.row_chunk[row]];
      AttentionRun run;
      run.chunk = &chunk;
      run.row = row;
      run.rows = std::min(last, chunk.first_row + chunk.rows) - row;
      run.position = chunk.position + row - chunk.first_row;
      int64_t furthest = run.position - task.span->window;
      if (args.empty_start) furthest = std::max(furthest, chunk.start);
      run.first_block = BlockOf(furthest);
      run.last_block = BlockOf(run.position + run.rows - 1 - args.min_distance);
      AttentionTask part = task;
      part.position_scores += (row - first) * task.stride;
      AttendRun(part, run);
      row += run.rows;
    }
  }
}

}  // namespace spanlm::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace spanlm::kernels {

HWY_EXPORT(Run);

constexpr uintptr_t kScratchAlignment = 64;  // a line, the widest vector

int64_t SpanAttentionTasks(const SpanAttentionArgs& args) {
  return (int64_t{args.rows} + kTileRows - 1) / kTileRows * args.heads;
}

int64_t SpanAttentionScratchFloats(const SpanAttentionArgs& args) {
  int64_t window = 0;
  for (int32_t h = 0; h < args.heads; ++h) {
    window = std::max<int64_t>(window, args.head[h].window);
  }
  return 2 * kTileRows * ScratchStride(window);
}

const char* SpanAttentionCpu(const SpanAttentionArgs& args, int64_t begin,
                             int64_t end, float* scratch) {
  if (args.head_dim < 1 || args.head_dim > kMaxHeadDim) {
    return "span attention: head_dim not in 1..128";
  }
  if (begin < 0 || end > SpanAttentionTasks(args)) {
    return "span attention: tasks out of range";
  }
  if (args.position_columns % kBlockPositions != 0 ||
      args.position_reach < args.min_distance ||
      args.position_columns <= args.position_reach) {
    return "span attention: position table misshapen";
  }
  if (args.empty_start && args.min_distance != 0) {
    return "span attention: empty_start needs min_distance 0";
  }
  if (reinterpret_cast<uintptr_t>(scratch) % kScratchAlignment != 0) {
    return "span attention: scratch not aligned to 64 bytes";
  }
  if (begin < end) HWY_DYNAMIC_DISPATCH(Run)(args, begin, end, scratch);
  return nullptr;
}

}  // namespace spanlm::kernels
#endif
