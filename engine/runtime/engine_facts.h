// SPDX-License-Identifier: Apache-2.0
// What the engines of all devices check and say alike.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "engine/engine.h"
#include "engine/runtime/step_plan.h"
#include "engine/step/model_tables.h"

namespace spanlm {

// What an engine says of its model that its tensors do not.
struct ModelIdentity {
  std::string digest;
  int64_t parameter_count = 0;
};

// kInvalidArgument names an option out of bounds; kUnimplemented a format of
// weights or cache that no engine holds.
absl::Status CheckEngineOptions(const EngineOptions& options);

// The facts of an engine whose kernels run on `target` ("AVX3", "sm_90").
// `tables` were made for the budget of `options`.
EngineInfo DescribeEngine(const ModelTables& tables,
                          const ModelIdentity& identity,
                          const EngineOptions& options,
                          absl::string_view target);

StepLimits LimitsOf(const ModelConfig& config, const ModelTables& tables,
                    const EngineOptions& options);

// kInvalidArgument: not where a cache can start (Engine::NewCache).
absl::Status CheckStart(int64_t start);

}  // namespace spanlm
