// SPDX-License-Identifier: Apache-2.0
// Reads texts through an engine in chunks of any sizes.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "engine/engine.h"
#include "gtest/gtest.h"

namespace spanlm {

// ln P after each symbol, [symbols * vocab_size], read in chunks of `sizes`,
// repeated. Empty if a step failed, which fails the test.
inline std::vector<float> ReadAll(Engine* engine, SpanCache* cache,
                                  absl::Span<const uint16_t> symbols,
                                  const std::vector<size_t>& sizes,
                                  Want want = Want::kAll) {
  std::vector<float> log_probs;
  for (size_t done = 0, i = 0; done < symbols.size(); ++i) {
    const size_t count =
        std::min(sizes[i % sizes.size()], symbols.size() - done);
    absl::StatusOr<StepResult> result =
        engine->Step({{cache, symbols.subspan(done, count), want}});
    EXPECT_TRUE(result.ok()) << result.status();
    if (!result.ok()) return {};
    const std::vector<float>& part = (*result)[0].log_probs;
    log_probs.insert(log_probs.end(), part.begin(), part.end());
    done += count;
  }
  return log_probs;
}

// As above, from the start of a text.
inline std::vector<float> ReadText(Engine* engine,
                                   absl::Span<const uint16_t> symbols,
                                   const std::vector<size_t>& sizes,
                                   Want want = Want::kAll) {
  absl::StatusOr<SpanCache> cache = engine->NewCache();
  EXPECT_TRUE(cache.ok()) << cache.status();
  if (!cache.ok()) return {};
  return ReadAll(engine, &*cache, symbols, sizes, want);
}

}  // namespace spanlm
