// SPDX-License-Identifier: Apache-2.0
#include "engine/kernels/reference/span_attention.h"

#include <algorithm>
#include <cmath>

namespace spanlm::kernels {
namespace {

struct Row {
  const SpanAttentionArgs* args;
  const float* key;
  int64_t key_row_stride;
  int64_t row;
  int32_t head;

  const Chunk& chunk() const { return args->chunks[args->row_chunk[row]]; }
  const HeadSpan& span() const { return args->head[head]; }
  int64_t position() const {
    return chunk().position + row - chunk().first_row;
  }
  int64_t dim(int32_t i) const { return int64_t{head} * args->head_dim + i; }
};

double Key(const Row& row, int64_t position, int32_t i) {
  const Chunk& chunk = row.chunk();
  if (position >= chunk.position) {
    return row.key[(chunk.first_row + position - chunk.position) *
                       row.key_row_stride +
                   row.dim(i)];
  }
  const HeadSpan& span = row.span();
  return row.args->cache[chunk.slot_offset + span.key_offset +
                         KeyIndex(RingPosition(position, span.key_capacity), i,
                                  row.args->head_dim)];
}

double Value(const Row& row, int64_t position, int32_t i) {
  const Chunk& chunk = row.chunk();
  if (position >= chunk.position) {
    return row.args->value[(chunk.first_row + position - chunk.position) *
                               row.args->value_row_stride +
                           row.dim(i)];
  }
  const HeadSpan& span = row.span();
  return row.args->cache[chunk.slot_offset + span.value_offset +
                         ValueIndex(RingPosition(position, span.value_capacity),
                                    i, row.args->head_dim)];
}

double PositionKey(const Row& row, int64_t distance, int32_t i) {
  const SpanAttentionArgs& args = *row.args;
  const int64_t column = args.position_columns - 1 -
                         std::min<int64_t>(distance, args.position_reach);
  return args.position_keys[row.head * args.position_head_stride +
                            KeyIndex(column, i, args.head_dim)];
}

double Mask(const Row& row, int64_t distance) {
  const SpanAttentionArgs& args = *row.args;
  if (distance > row.span().reach) return 0;
  if (args.mask == nullptr) return 1;
  return args.mask[row.head * args.mask_head_stride + args.mask_columns - 1 -
                   distance];
}

double Score(const Row& row, int64_t distance) {
  const SpanAttentionArgs& args = *row.args;
  double content = 0;
  double position = 0;
  for (int32_t i = 0; i < args.head_dim; ++i) {
    const double q = args.query[row.row * args.query_row_stride + row.dim(i)];
    const double u = args.content_bias ? args.content_bias[row.dim(i)] : 0;
    const double v = args.position_bias ? args.position_bias[row.dim(i)] : 0;
    content += (q + u) * Key(row, row.position() - distance, i);
    position += (q + v) * PositionKey(row, distance, i);
  }
  return args.scale * (content + position);
}

void Attend(const Row& row, double* out) {
  const SpanAttentionArgs& args = *row.args;
  int64_t last = row.span().window;
  if (args.empty_start) {
    last = std::min(last, row.position() - row.chunk().start);
  }
  std::vector<double> scores;
  for (int64_t d = args.min_distance; d <= last; ++d) {
    scores.push_back(Score(row, d));
  }
  const double max = *std::max_element(scores.begin(), scores.end());
  double denominator = 0;
  std::fill_n(out, args.head_dim, 0.0);
  for (int64_t d = args.min_distance; d <= last; ++d) {
    const double e = std::exp(scores[d - args.min_distance] - max);
    const double weight = Mask(row, d) * e;
    denominator += args.renormalize ? weight : e;
    for (int32_t i = 0; i < args.head_dim && weight != 0; ++i) {
      out[i] += weight * Value(row, row.position() - d, i);
    }
  }
  for (int32_t i = 0; i < args.head_dim; ++i) out[i] /= denominator;
}

}  // namespace

std::vector<double> SpanAttentionReference(const SpanAttentionArgs& args,
                                           const float* key,
                                           int64_t key_row_stride) {
  std::vector<double> out(int64_t{args.rows} * args.heads * args.head_dim);
  for (int32_t row = 0; row < args.rows; ++row) {
    for (int32_t head = 0; head < args.heads; ++head) {
      Attend({&args, key, key_row_stride, row, head},
             out.data() + (int64_t{row} * args.heads + head) * args.head_dim);
    }
  }
  return out;
}

}  // namespace spanlm::kernels
