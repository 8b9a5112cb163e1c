// SPDX-License-Identifier: Apache-2.0
#include "engine/runtime/torch_engine.h"

#include <ATen/ops/empty.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/InferenceMode.h>

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "engine/runtime/device.h"
#include "engine/runtime/device_copy.h"
#include "engine/runtime/device_model.h"
#include "engine/runtime/step_plan.h"
#include "engine/runtime/torch_guard.h"

namespace spanlm {
namespace {

// Where the tensors live, and the name of the arithmetic there.
struct Place {
  at::Device device;
  std::string target;
};

absl::StatusOr<Place> FindPlace(const std::string& device) {
  if (device == "cpu") return Place{at::kCPU, "torch"};
  SPANLM_ASSIGN_OR_RETURN(CudaDevice found, OpenCudaDevice(device));
  return Place{at::Device(at::kCUDA, found.index),
               std::move(found.architecture)};
}

DeviceStep CopyStep(const StepTables& tables, at::Device device) {
  const std::vector<int64_t> symbols(tables.symbols.begin(),
                                     tables.symbols.end());
  const std::vector<int64_t> wanted(tables.wanted_rows.begin(),
                                    tables.wanted_rows.end());
  DeviceStep step;
  step.symbols = CopyToDevice(symbols, device);
  step.rows.chunks = CopyRecordsToDevice(tables.chunks, device);
  step.rows.row_chunk = CopyToDevice(tables.row_chunk, device);
  step.wanted_rows = CopyToDevice(wanted, device);
  return step;
}

absl::Status CheckFinite(absl::Span<const float> log_probs, size_t symbols) {
  for (const float log_prob : log_probs) {
    if (!std::isfinite(log_prob)) {
      return absl::DataLossError(
          absl::StrCat("step of ", symbols,
                       " symbols: a log-probability is not a finite number"));
    }
  }
  return absl::OkStatus();
}

// See Engine. One stream, the device's default one, orders the steps and the
// clearing of slots, whichever thread asks for it.
class TorchEngine : public Engine {
 public:
  TorchEngine(const ModelConfig& config, const EngineOptions& options,
              EngineInfo info, const StepLimits& limits, DeviceModel model)
      : config_(config),
        options_(options),
        info_(std::move(info)),
        limits_(limits),
        model_(std::move(model)),
        slots_(info_.slot_count) {}

  // Takes the memory of all caches. Throws LibTorch's exceptions.
  void AllocateSlab(at::Device device) {
    slab_ = at::empty({info_.slot_count * limits_.slot_floats},
                      at::TensorOptions().dtype(at::kFloat).device(device));
  }

  absl::StatusOr<SpanCache> NewCache(int64_t start) override;
  absl::StatusOr<StepResult> Step(const Batch& batch) override;

  const ModelConfig& config() const override { return config_; }
  const EngineInfo& info() const override { return info_; }
  const EngineOptions& options() const override { return options_; }
  int32_t free_slot_count() const override { return slots_.free_count(); }

 private:
  absl::StatusOr<StepResult> RunStep(const Batch& batch);

  const ModelConfig config_;
  const EngineOptions options_;
  const EngineInfo info_;
  const StepLimits limits_;
  const DeviceModel model_;
  at::Tensor slab_;  // [slots, slot_floats], flat
  SlotPool slots_;
};

absl::StatusOr<SpanCache> TorchEngine::NewCache(int64_t start) {
  SPANLM_RETURN_IF_ERROR(CheckStart(start));
  SPANLM_ASSIGN_OR_RETURN(Slot slot, slots_.Take());
  SPANLM_RETURN_IF_ERROR(
      GuardTorch(absl::StrCat("new cache on ", options_.device), [&] {
        const c10::InferenceMode inference;
        slab_.narrow(0, slot.index() * limits_.slot_floats, limits_.slot_floats)
            .zero_();
        return absl::OkStatus();
      }));
  return SpanCache(std::move(slot), start);
}

absl::StatusOr<StepResult> TorchEngine::Step(const Batch& batch) {
  SPANLM_RETURN_IF_ERROR(CheckBatch(batch, limits_));
  return GuardTorch(absl::StrCat("step on ", options_.device),
                    [&] { return RunStep(batch); });
}

absl::StatusOr<StepResult> TorchEngine::RunStep(const Batch& batch) {
  const c10::InferenceMode inference;
  const c10::DeviceGuard guard(slab_.device());
  const StepTables tables = MakeStepTables(batch, limits_);
  const CacheMemory memory = {
      slab_, at::empty({tables.staged_floats}, slab_.options())};
  const at::Tensor log_probs =
      model_.Step(CopyStep(tables, slab_.device()), memory).to(at::kCPU);
  const absl::Span<const float> values(log_probs.const_data_ptr<float>(),
                                       static_cast<size_t>(log_probs.numel()));
  SPANLM_RETURN_IF_ERROR(CheckFinite(values, tables.symbols.size()));
  const auto width = static_cast<size_t>(limits_.vocab_size);
  return FinishStep(batch, [&](int64_t i) {
    return values.subspan(static_cast<size_t>(i) * width, width);
  });
}

}  // namespace

absl::StatusOr<std::unique_ptr<Engine>> CreateTorchEngine(
    const ModelConfig& config, const TensorSource& tensors,
    const ModelIdentity& identity, const EngineOptions& options) {
  SPANLM_RETURN_IF_ERROR(CheckEngineOptions(options));
  SPANLM_ASSIGN_OR_RETURN(const Place place, FindPlace(options.device));
  SPANLM_ASSIGN_OR_RETURN(
      const ModelTables tables,
      MakeModelTables(config, tensors, {options.state_budget_bytes}));
  EngineInfo info = DescribeEngine(tables, identity, options, place.target);
  return GuardTorch(
      absl::StrCat("load on ", options.device),
      [&]() -> absl::StatusOr<std::unique_ptr<Engine>> {
        const c10::InferenceMode inference;
        const c10::DeviceGuard guard(place.device);
        SPANLM_ASSIGN_OR_RETURN(
            DeviceModel model,
            DeviceModel::Load(config, tensors, tables, place.device));
        auto engine = std::make_unique<TorchEngine>(
            config, options, std::move(info), LimitsOf(config, tables, options),
            std::move(model));
        engine->AllocateSlab(place.device);
        return engine;
      });
}

}  // namespace spanlm
