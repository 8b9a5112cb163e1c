// SPDX-License-Identifier: Apache-2.0
// What goes into a step of the engine and what comes out: plain data.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/types/span.h"

namespace spanlm {

class SpanCache;

// What a sequence wants to know of its chunk. In all four cases the cache's
// last_log_probs() holds the distribution after the chunk's last symbol.
enum class Want {
  kNothing,
  kTargets,  // ln P of each symbol of the chunk, given all before it
  kAll,      // the whole distribution after each symbol of the chunk
};

// One text's next symbols. `cache` is advanced by the step and must not stand
// in the same batch twice; `symbols` is not empty, each below vocab_size.
struct Sequence {
  SpanCache* cache = nullptr;
  absl::Span<const uint16_t> symbols;
  Want want = Want::kNothing;
};

using Batch = std::vector<Sequence>;

// kTargets: [symbols]; the entry of a text's very first symbol is −ln 256 (the
// uniform start, docs/model.md). kAll: [symbols, vocab_size]. Nats.
// The float of a target equals the one that kAll holds at that place.
struct SequenceResult {
  std::vector<float> log_probs;
};

// One entry for each sequence of the batch, in its order.
using StepResult = std::vector<SequenceResult>;

}  // namespace spanlm
