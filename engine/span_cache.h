// SPDX-License-Identifier: Apache-2.0
// A text's state in the engine: constant size, whatever was read.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "engine/cache/slot_pool.h"

namespace spanlm {

// A slot of the engine's slab, the text's position and the distribution of its
// next symbol. Gives the slot back when it dies. Move-only; must die before
// the engine that made it. One thread at a time.
class SpanCache {
 public:
  SpanCache(Slot slot, int64_t position)
      : slot_(std::move(slot)), start_(position), position_(position) {}

  // Symbols read so far, counted from the text's start.
  int64_t position() const { return position_; }
  // Where reading began: 0, or the position given to Engine::NewCache.
  int64_t start() const { return start_; }
  // ln P of each symbol coming next, [vocab_size]; empty before the first step.
  absl::Span<const float> last_log_probs() const { return last_log_probs_; }
  int32_t slot() const { return slot_.index(); }

  // For engines only: moves on by `count` symbols.
  void Advance(int64_t count, absl::Span<const float> last_log_probs) {
    position_ += count;
    last_log_probs_.assign(last_log_probs.begin(), last_log_probs.end());
  }

 private:
  Slot slot_;
  int64_t start_;
  int64_t position_;
  std::vector<float> last_log_probs_;
};

}  // namespace spanlm
