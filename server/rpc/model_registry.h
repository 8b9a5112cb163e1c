// SPDX-License-Identifier: Apache-2.0
// The models that calls may name.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/mutex.h"
#include "engine/engine.h"
#include "engine/symbol_map.h"
#include "server/metrics/metrics.h"
#include "server/metrics/model_metrics.h"
#include "server/scheduler/scheduler.h"
#include "spanlm/v1/model.pb.h"

namespace spanlm {

// A loaded model and what serves it. Everything is lent; immutable.
struct ServedModel {
  v1::Model description;  // name, version, digest, numerics, …
  const SymbolMap* symbols = nullptr;
  Scheduler* scheduler = nullptr;
  ModelMetrics* metrics = nullptr;

  int64_t receptive_field_bytes() const {
    return description.receptive_field_bytes();
  }
};

// What GetModel tells of a model served as `name`.
v1::Model DescribeModel(const std::string& name, const Engine& engine,
                        bool is_default);

// Knows all names from the start and gets the models as they are loaded; none
// is ever taken out. Thread-safe.
class ModelRegistry {
 public:
  // An empty name in a call means `default_name`, one of `names`. `metrics` is
  // lent.
  ModelRegistry(const std::vector<std::string>& names,
                const std::string& default_name, Metrics* metrics);

  void Add(const std::string& name, ServedModel model)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // `name` is models/{model}, {model} or empty. kNotFound (MODEL);
  // kUnavailable (LOADING). The model lives as long as the registry.
  absl::StatusOr<const ServedModel*> Find(absl::string_view name) const
      ABSL_LOCKS_EXCLUDED(mutex_);

  // The same for a request, which is counted if no model takes it.
  absl::StatusOr<const ServedModel*> FindFor(JobKind kind,
                                             absl::string_view name) const
      ABSL_LOCKS_EXCLUDED(mutex_);

  // By name; those still loading with state LOADING.
  std::vector<v1::Model> List() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  // The name without its prefix, or the default.
  std::string Wanted(absl::string_view name) const;

  const std::string default_name_;
  Metrics* const metrics_;
  mutable Mutex mutex_;
  // Null: still loading.
  std::map<std::string, std::unique_ptr<const ServedModel>, std::less<>> models_
      ABSL_GUARDED_BY(mutex_);
};

}  // namespace spanlm
