// SPDX-License-Identifier: Apache-2.0
// One step of either architecture over a batch of chunks, on the CPU.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "engine/kernels/cache_append.h"
#include "engine/kernels/span_attention.h"
#include "engine/step/aligned_floats.h"
#include "engine/step/packed_model.h"
#include "engine/step/worker_team.h"

namespace spanlm {

// A step's rows as tables, rows of a sequence in a run.
struct StepTables {
  std::vector<uint16_t> symbols;       // [rows]
  std::vector<kernels::Chunk> chunks;  // [sequences]
  std::vector<int32_t> row_chunk;      // [rows]
  std::vector<int32_t> wanted_rows;    // whose distributions are wanted, rising
  int64_t staged_floats = 0;           // of all chunks' keys
};

// Holds the scratch of steps. One thread at a time; `model` and `team` must
// outlive it.
class SpanStep {
 public:
  SpanStep(const PackedModel* model, WorkerTeam* team);

  // Reads the rows: advances the rings in `slab` and fills log_probs().
  // kDataLoss: a log-probability is not finite; the slots' contents are then
  // of no use. kResourceExhausted: no scratch; nothing is read.
  absl::Status Run(const StepTables& step, float* slab);

  // Of the last Run: ln P after wanted_rows[i]. [vocab_size]
  absl::Span<const float> log_probs(int64_t i) const {
    const auto width = static_cast<size_t>(model_->config()->vocab_size);
    return {logits_.data() + i * static_cast<int64_t>(width), width};
  }

 private:
  struct Layer;

  absl::Status Reserve(const StepTables& step);
  void Embed(const StepTables& step);
  const char* RunLayer(const Layer& layer);
  kernels::CacheAppendArgs AppendArgs(const Layer& layer);
  kernels::SpanAttentionArgs AttentionArgs(const Layer& layer);
  const char* Attend(const Layer& layer);
  const char* FeedForward(const Layer& layer);
  const char* Map(const PackedMap& map, bool relu, const float* x, float* y,
                  int32_t rows);
  const char* Norm(const NormWeights& norm, const float* x, int32_t rows);
  const char* Predict(const StepTables& step);

  const PackedModel* const model_;
  WorkerTeam* const team_;
  // Scratch, kept from step to step. [rows, …]
  AlignedFloats stream_;           // d_model: the residual stream
  AlignedFloats query_key_value_;  // 3 d_model
  AlignedFloats attended_;         // d_model
  AlignedFloats branch_;           // d_model: what is added to the stream
  AlignedFloats inner_;            // d_inner
  AlignedFloats staged_keys_;
  AlignedFloats logits_;             // [wanted rows, vocab_size]
  AlignedFloats attention_scratch_;  // [threads, scratch_stride_]
  int64_t scratch_stride_ = 0;
};

}  // namespace spanlm
