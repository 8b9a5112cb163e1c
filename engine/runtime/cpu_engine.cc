// SPDX-License-Identifier: Apache-2.0
#include "engine/runtime/cpu_engine.h"

#include <algorithm>
#include <utility>

#include "base/status_macros.h"
#include "engine/kernels/cpu_target.h"

namespace spanlm {

absl::StatusOr<std::unique_ptr<CpuEngine>> CpuEngine::Create(
    const ModelConfig& config, const TensorSource& tensors,
    const ModelIdentity& identity, const EngineOptions& options) {
  SPANLM_RETURN_IF_ERROR(CheckEngineOptions(options));
  SPANLM_ASSIGN_OR_RETURN(
      PackedModel model,
      PackedModel::Create(config, tensors, {options.state_budget_bytes}));
  EngineInfo info = DescribeEngine(model.tables(), identity, options,
                                   kernels::CpuTargetName());
  SPANLM_ASSIGN_OR_RETURN(
      AlignedFloats slab,
      AlignedFloats::Create(info.slot_count * model.tables().slot_floats));
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
      limits_(LimitsOf(model_.config(), model_.tables(), options)),
      slab_(std::move(slab)),
      used_(static_cast<size_t>(info_.slot_count), 0),
      slots_(info_.slot_count),
      team_(options.threads),
      step_(&model_, &team_) {}

absl::StatusOr<SpanCache> CpuEngine::NewCache(int64_t start) {
  SPANLM_RETURN_IF_ERROR(CheckStart(start));
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
