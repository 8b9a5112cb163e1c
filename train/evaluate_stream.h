// SPDX-License-Identifier: Apache-2.0
// Code length of a text read as one stream by the serving engine.
#pragma once

#include <cstdint>
#include <functional>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/bits_total.h"
#include "engine/engine.h"
#include "engine/symbol_map.h"

namespace spanlm {

struct StreamScore {
  BitsTotal total;         // −log2 P of every byte; the first costs 8 bits
  int64_t byte_count = 0;  // bytes scored: all of them
};

// Scores every byte of `bytes` once, given all before it (docs/model.md,
// "How bits per byte are counted"), `chunk_bytes` a step: neither that number
// nor the engine's threads change a bit of the total. `progress` hears the
// running score after each step. kFailedPrecondition names a byte without a
// symbol, and its offset; else the errors of Engine.
absl::StatusOr<StreamScore> EvaluateStream(
    Engine& engine, const SymbolMap& symbols, absl::string_view bytes,
    int64_t chunk_bytes,
    const std::function<void(const StreamScore&)>& progress);

}  // namespace spanlm
