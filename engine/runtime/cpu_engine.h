// SPDX-License-Identifier: Apache-2.0
// Engine over engine/step: everything on the CPU, no LibTorch.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/engine.h"
#include "engine/runtime/engine_facts.h"
#include "engine/runtime/step_plan.h"
#include "engine/step/packed_model.h"
#include "engine/step/span_step.h"
#include "engine/step/worker_team.h"
#include "engine/tensor_view.h"

namespace spanlm {

// See Engine. Its slab is one allocation of equal slots, touched as used.
class CpuEngine : public Engine {
 public:
  // `tensors` is read now and not kept. Errors: CheckEngineOptions',
  // PackedModel::Create's.
  static absl::StatusOr<std::unique_ptr<CpuEngine>> Create(
      const ModelConfig& config, const TensorSource& tensors,
      const ModelIdentity& identity, const EngineOptions& options);

  absl::StatusOr<SpanCache> NewCache(int64_t start = 0) override;
  absl::StatusOr<StepResult> Step(const Batch& batch) override;

  const ModelConfig& config() const override { return model_.config(); }
  const EngineInfo& info() const override { return info_; }
  const EngineOptions& options() const override { return options_; }
  int32_t free_slot_count() const override { return slots_.free_count(); }

 private:
  CpuEngine(PackedModel model, EngineInfo info, const EngineOptions& options,
            AlignedFloats slab);

  const EngineOptions options_;
  const PackedModel model_;
  const EngineInfo info_;
  const StepLimits limits_;
  AlignedFloats slab_;
  std::vector<char> used_;  // [slots]: since when it was all zero; the holder's
  SlotPool slots_;
  WorkerTeam team_;
  SpanStep step_;
};

}  // namespace spanlm
