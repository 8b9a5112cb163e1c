// SPDX-License-Identifier: Apache-2.0
// The model that steps are timed on, and what a step of it has to do.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "engine/runtime/cpu_engine.h"

namespace spanlm {

// 12 layers, width 512, 8 heads, feed-forward 2048, random weights. `profile`
// is "uniform", all heads reach alike, or "skewed", a few reach far and most do
// not; the mean is about 332 positions in both. `threads` as EngineOptions
// takes it. Errors: CpuEngine::Create's.
absl::StatusOr<std::unique_ptr<CpuEngine>> NewBenchEngine(
    const std::string& profile, int threads);

// The least that the formulas of docs/model.md ask for; an engine may do more.
struct StepWork {
  double weight_bytes = 0;    // of all products, read once a step
  double cache_bytes = 0;     // keys and values that a symbol attends to
  double flops_per_byte = 0;  // of text: products and attention
};

StepWork WorkOf(const Engine& engine);

}  // namespace spanlm
