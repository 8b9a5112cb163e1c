// SPDX-License-Identifier: Apache-2.0
#include "engine/runtime/step_plan.h"

#include <cmath>
#include <set>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "engine/span_cache.h"

namespace spanlm {
namespace {

// ln P of a text's first byte: uniform over the 256 bytes (docs/model.md).
const float kUniformLogProb = -std::log(256.0F);

absl::Status Refuse(size_t sequence, const std::string& reason) {
  return absl::InvalidArgumentError(
      absl::StrCat("sequence ", sequence, " of the batch: ", reason));
}

absl::Status CheckSequence(const Sequence& sequence, size_t index,
                           int32_t vocab_size) {
  if (sequence.cache == nullptr) return Refuse(index, "no cache");
  if (sequence.cache->slot() < 0) {
    return Refuse(index, "its cache has been moved from");
  }
  if (sequence.symbols.empty()) return Refuse(index, "no symbols");
  for (size_t i = 0; i < sequence.symbols.size(); ++i) {
    if (sequence.symbols[i] >= vocab_size) {
      return Refuse(index, absl::StrCat("symbol ", sequence.symbols[i], " at ",
                                        i, ", want below ", vocab_size));
    }
  }
  return absl::OkStatus();
}

// Where the rows of a sequence that are wanted begin.
size_t FirstWanted(const Sequence& sequence) {
  return sequence.want == Want::kNothing ? sequence.symbols.size() - 1 : 0;
}

}  // namespace

absl::Status CheckBatch(const Batch& batch, const StepLimits& limits) {
  if (batch.empty()) return absl::InvalidArgumentError("an empty batch");
  std::set<int32_t> slots;
  size_t symbols = 0;
  for (size_t i = 0; i < batch.size(); ++i) {
    SPANLM_RETURN_IF_ERROR(CheckSequence(batch[i], i, limits.vocab_size));
    if (!slots.insert(batch[i].cache->slot()).second) {
      return Refuse(i, "its cache stands in the batch twice");
    }
    symbols += batch[i].symbols.size();
  }
  if (symbols > static_cast<size_t>(limits.max_symbols)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "batch of ", symbols,
        " symbols, want at most max_step_symbols = ", limits.max_symbols));
  }
  return absl::OkStatus();
}

StepTables MakeStepTables(const Batch& batch, const StepLimits& limits) {
  StepTables tables;
  for (size_t i = 0; i < batch.size(); ++i) {
    const Sequence& sequence = batch[i];
    const size_t count = sequence.symbols.size();
    const size_t first = tables.symbols.size();
    kernels::Chunk chunk;
    chunk.slot_offset = sequence.cache->slot() * limits.slot_floats;
    chunk.position = sequence.cache->position();
    chunk.start = sequence.cache->start();
    chunk.first_row = static_cast<int32_t>(first);
    chunk.rows = static_cast<int32_t>(count);
    if (count > 1 || limits.min_distance == 0) {
      chunk.staged_offset = tables.staged_floats;
      tables.staged_floats +=
          kernels::StagedFloats(chunk, limits.heads, limits.head_dim);
    }
    tables.chunks.push_back(chunk);
    tables.row_chunk.insert(tables.row_chunk.end(), count,
                            static_cast<int32_t>(i));
    tables.symbols.insert(tables.symbols.end(), sequence.symbols.begin(),
                          sequence.symbols.end());
    for (size_t row = FirstWanted(sequence); row < count; ++row) {
      tables.wanted_rows.push_back(static_cast<int32_t>(first + row));
    }
  }
  return tables;
}

StepResult FinishStep(
    const Batch& batch,
    const std::function<absl::Span<const float>(int64_t i)>& log_probs) {
  StepResult result;
  int64_t wanted = 0;
  for (const Sequence& sequence : batch) {
    SequenceResult part;
    const auto rows =
        static_cast<int64_t>(sequence.symbols.size() - FirstWanted(sequence));
    if (sequence.want == Want::kTargets) {
      const absl::Span<const float> before = sequence.cache->last_log_probs();
      part.log_probs.push_back(before.empty() ? kUniformLogProb
                                              : before[sequence.symbols[0]]);
      for (int64_t i = 1; i < rows; ++i) {
        part.log_probs.push_back(
            log_probs(wanted + i - 1)[sequence.symbols[i]]);
      }
    } else if (sequence.want == Want::kAll) {
      for (int64_t i = 0; i < rows; ++i) {
        const absl::Span<const float> row = log_probs(wanted + i);
        part.log_probs.insert(part.log_probs.end(), row.begin(), row.end());
      }
    }
    wanted += rows;
    sequence.cache->Advance(static_cast<int64_t>(sequence.symbols.size()),
                            log_probs(wanted - 1));
    result.push_back(std::move(part));
  }
  return result;
}

}  // namespace spanlm
