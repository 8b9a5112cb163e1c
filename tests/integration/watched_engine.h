// SPDX-License-Identifier: Apache-2.0
// Another engine, whose steps a test can hold and watch.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>

#include "absl/base/thread_annotations.h"
#include "base/mutex.h"
#include "engine/engine.h"

namespace spanlm {

// Computes what the engine in it computes. The hooks are thread-safe.
class WatchedEngine : public Engine {
 public:
  explicit WatchedEngine(std::unique_ptr<Engine> engine)
      : engine_(std::move(engine)) {}

  absl::StatusOr<SpanCache> NewCache(int64_t start = 0) override {
    return engine_->NewCache(start);
  }
  absl::StatusOr<StepResult> Step(const Batch& batch) override {
    Watch(batch);
    return engine_->Step(batch);
  }
  const ModelConfig& config() const override { return engine_->config(); }
  const EngineInfo& info() const override { return engine_->info(); }
  const EngineOptions& options() const override { return engine_->options(); }
  int32_t free_slot_count() const override {
    return engine_->free_slot_count();
  }

  // From now on steps wait at their start, until Release.
  void Hold() ABSL_LOCKS_EXCLUDED(mutex_);
  void Release() ABSL_LOCKS_EXCLUDED(mutex_);

  // Calls `hook` once, in the step that reads the beginning of a text whose
  // first symbol is `first`. It must not wait.
  void OnBegin(uint16_t first, std::function<void()> hook)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // After it the hook is neither running nor called any more.
  void Forget(uint16_t first) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  void Watch(const Batch& batch) ABSL_LOCKS_EXCLUDED(mutex_);

  const std::unique_ptr<Engine> engine_;
  Mutex mutex_;
  CondVar released_;
  bool holds_ ABSL_GUARDED_BY(mutex_) = false;
  std::map<uint16_t, std::function<void()>> hooks_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace spanlm
