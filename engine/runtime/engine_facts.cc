// SPDX-License-Identifier: Apache-2.0
#include "engine/runtime/engine_facts.h"

#include <algorithm>
#include <limits>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "engine/kernels/cpu_target.h"

namespace spanlm {
namespace {

constexpr int32_t kMaxThreads = 1024;
constexpr int32_t kMaxStepSymbols = 1 << 20;

absl::Status CheckOption(absl::string_view name, int64_t value, int64_t least,
                         int64_t most) {
  if (value >= least && value <= most) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(name, ": ", value, ", want ", least, " to ", most));
}

absl::Status CheckFormat(absl::string_view name, const std::string& value) {
  if (value == "fp32") return absl::OkStatus();
  return absl::UnimplementedError(
      absl::StrCat(name, ": \"", value, "\", this build holds fp32 only"));
}

}  // namespace

absl::Status CheckEngineOptions(const EngineOptions& options) {
  SPANLM_RETURN_IF_ERROR(CheckFormat("weights", options.weights));
  SPANLM_RETURN_IF_ERROR(CheckFormat("kv", options.kv));
  SPANLM_RETURN_IF_ERROR(
      CheckOption("threads (0: all)", options.threads, 0, kMaxThreads));
  SPANLM_RETURN_IF_ERROR(CheckOption(
      "max_step_symbols", options.max_step_symbols, 1, kMaxStepSymbols));
  return CheckOption("state_budget_bytes", options.state_budget_bytes, 1,
                     std::numeric_limits<int64_t>::max());
}

EngineInfo DescribeEngine(const ModelTables& tables,
                          const ModelIdentity& identity,
                          const EngineOptions& options,
                          absl::string_view target) {
  EngineInfo info;
  info.digest = identity.digest;
  info.numerics =
      absl::StrCat("fp32/fp32/", target, "/", kernels::kKernelVersion);
  info.parameter_count = identity.parameter_count;
  info.state_bytes = tables.slot_floats * static_cast<int64_t>(sizeof(float));
  const int64_t fitting = options.state_budget_bytes / info.state_bytes;
  SPANLM_CHECK(fitting >= 1);
  info.slot_count = static_cast<int32_t>(
      std::min<int64_t>(fitting, std::numeric_limits<int32_t>::max()));
  info.receptive_field_bytes = 1;
  for (const LayerTables& layer : tables.layers) {
    info.receptive_field_bytes += layer.window;
    info.layer_windows.push_back(layer.window);
    if (!layer.spans.empty()) info.spans.push_back(layer.spans);
    info.reaches.emplace_back();
    for (const kernels::HeadSpan& head : layer.heads) {
      info.reaches.back().push_back(head.reach);
    }
  }
  return info;
}

StepLimits LimitsOf(const ModelConfig& config, const ModelTables& tables,
                    const EngineOptions& options) {
  StepLimits limits;
  limits.vocab_size = config->vocab_size;
  limits.max_symbols = options.max_step_symbols;
  limits.heads = config->n_head;
  limits.head_dim = config->d_head;
  limits.min_distance = tables.min_distance;
  limits.slot_floats = tables.slot_floats;
  return limits;
}

absl::Status CheckStart(int64_t start) {
  // A position is added to for ever; half of what int64 counts is room enough.
  constexpr int64_t kMostStart = std::numeric_limits<int64_t>::max() / 2;
  if (start >= 0 && start % kBlock == 0 && start <= kMostStart) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("start: ", start, ", want a multiple of ", kBlock,
                   " from 0 to ", kMostStart));
}

}  // namespace spanlm
