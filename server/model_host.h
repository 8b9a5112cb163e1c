// SPDX-License-Identifier: Apache-2.0
// One model in memory: its engine and the scheduler that steps it.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "engine/engine.h"
#include "engine/symbol_map.h"
#include "server/metrics/metrics.h"
#include "server/rpc/model_registry.h"
#include "server/scheduler/scheduler.h"
#include "server/server_options.h"

namespace spanlm {

// Opens a model directory; CreateEngine, or a test's.
using EngineFactory = std::function<absl::StatusOr<std::unique_ptr<Engine>>(
    const std::string& dir, const EngineOptions& options)>;

// Scores a short text in one chunk and byte by byte, and fills a whole step:
// kInternal if the two scores differ in any bit or are no finite numbers.
absl::Status CheckEngine(Engine* engine);

// Owns what serves one model. Thread-safe.
class ModelHost {
 public:
  // Loads, checks and warms up. Errors as the factory's and CheckEngine's;
  // kFailedPrecondition for a token model. `metrics` is lent; heads' spans are
  // among them if `span_metrics`.
  static absl::StatusOr<std::unique_ptr<ModelHost>> Load(
      const ModelSpec& spec, const EngineOptions& engine_options,
      const SchedulerOptions& scheduler_options, const EngineFactory& factory,
      bool span_metrics, Metrics* metrics);
  ~ModelHost();

  const std::string& name() const { return name_; }
  Scheduler* scheduler() { return scheduler_.get(); }
  // For the registry; lends what this owns.
  ServedModel Serve(bool is_default) const;

 private:
  ModelHost(std::string name, std::unique_ptr<Engine> engine, SymbolMap symbols,
            Metrics* metrics);

  const std::string name_;
  const std::unique_ptr<Engine> engine_;
  const SymbolMap symbols_;
  Metrics* const metrics_;
  ModelMetrics* model_metrics_ = nullptr;
  std::unique_ptr<Scheduler> scheduler_;  // steps engine_
};

}  // namespace spanlm
