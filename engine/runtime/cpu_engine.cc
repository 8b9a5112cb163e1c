// SPDX-License-Identifier: Apache-2.0
#include "engine/runtime/cpu_engine.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
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

int64_t StateBytes(const ModelTables& tables) {
  return tables.slot_floats * static_cast<int64_t>(sizeof(float));
}

EngineInfo Describe(const PackedModel& model, const ModelIdentity& identity,
                    int32_t slots) {
  EngineInfo info;
  info.digest = identity.digest;
  info.numerics = absl::StrCat("fp32/fp32/", kernels::CpuTargetName(), "/",
                               kernels::kKernelVersion);
  info.parameter_count = identity.parameter_count;
  info.state_bytes = StateBytes(model.tables());
  info.slot_count = slots;
  info.receptive_field_bytes = 1;
  for (const LayerTables& layer : model.tables().layers) {
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

absl::StatusOr<std::unique_ptr<CpuEngine>> CpuEngine::Create(
    const ModelConfig& config, const TensorSource& tensors,
    const ModelIdentity& identity, const EngineOptions& options) {
  SPANLM_RETURN_IF_ERROR(CheckEngineOptions(options));
  SPANLM_ASSIGN_OR_RETURN(PackedModel model,
                          PackedModel::Create(config, tensors));
  const int64_t state_bytes = StateBytes(model.tables());
  const int64_t fitting = options.state_budget_bytes / state_bytes;
  if (fitting < 1) {
    return absl::ResourceExhaustedError(
        absl::StrCat("state_budget_bytes: ", options.state_budget_bytes,
                     ", one cache of this model takes ", state_bytes));
  }
  const auto slots = static_cast<int32_t>(
      std::min<int64_t>(fitting, std::numeric_limits<int32_t>::max()));
  SPANLM_ASSIGN_OR_RETURN(
      AlignedFloats slab,
      AlignedFloats::Create(slots * model.tables().slot_floats));
  EngineInfo info = Describe(model, identity, slots);
  EngineOptions settled = options;
  if (settled.threads == 0) settled.threads = AllowedCpuCount();
  // NOLINTNEXTLINE(modernize-make-unique): the constructor is private
  return std::unique_ptr<CpuEngine>(new CpuEngine(
      std::move(model), std::move(info), settled, std::move(slab)));
}

CpuEngine::CpuEngine(PackedModel model, EngineInfo info,
                     const EngineOptions& options, AlignedFloats slab)
    : options_(options),
      model_(std::move(model)),
      info_(std::move(info)),
      slab_(std::move(slab)),
      used_(static_cast<size_t>(info_.slot_count), 0),
      slots_(info_.slot_count),
      team_(options.threads),
      step_(&model_, &team_) {
  limits_.vocab_size = model_.config()->vocab_size;
  limits_.max_symbols = options.max_step_symbols;
  limits_.heads = model_.config()->n_head;
  limits_.head_dim = model_.config()->d_head;
  limits_.min_distance = model_.tables().min_distance;
  limits_.slot_floats = model_.tables().slot_floats;
}

absl::StatusOr<SpanCache> CpuEngine::NewCache(int64_t start) {
  // A position is added to for ever; half of what int64 counts is room enough.
  constexpr int64_t kMostStart = std::numeric_limits<int64_t>::max() / 2;
  if (start < 0 || start % kBlock != 0 || start > kMostStart) {
    return absl::InvalidArgumentError(
        absl::StrCat("start: ", start, ", want a multiple of ", kBlock,
                     " from 0 to ", kMostStart));
  }
  SPANLM_ASSIGN_OR_RETURN(Slot slot, slots_.Take());
  // Taking and giving back a slot are ordered by the pool's lock, so whoever
  // holds it sees the mark. A slot never used is zero as it was mapped.
  char& used = used_[static_cast<size_t>(slot.index())];
  if (used != 0) {
    std::fill_n(slab_.data() + slot.index() * limits_.slot_floats,
                limits_.slot_floats, 0.0F);
  }
  used = 1;
  return SpanCache(std::move(slot), start);
}

absl::StatusOr<StepResult> CpuEngine::Step(const Batch& batch) {
  SPANLM_RETURN_IF_ERROR(CheckBatch(batch, limits_));
  const StepTables tables = MakeStepTables(batch, limits_);
  SPANLM_RETURN_IF_ERROR(step_.Run(tables, slab_.data()));
  return FinishStep(batch, [this](int64_t i) { return step_.log_probs(i); });
}

}  // namespace spanlm
