// SPDX-License-Identifier: Apache-2.0
// An engine without a model: a known distribution, and steps that can be held,
// watched and made to fail.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "base/bits_total.h"
#include "base/mutex.h"
#include "engine/engine.h"

namespace spanlm {

// What stood in a step.
struct FakeSequence {
  int32_t slot = 0;
  int64_t position = 0;  // of the chunk's first symbol
  int64_t symbols = 0;
  Want want = Want::kNothing;
};
using FakeStep = std::vector<FakeSequence>;

struct FakeEngineOptions {
  int32_t slots = 4;
  int32_t max_step_symbols = 512;
  // As in ModelFields; default: the 256 bytes.
  std::vector<std::optional<uint8_t>> symbols = AllBytes();
  int32_t unknown_symbol = -1;
  std::vector<std::vector<float>> spans = {};  // as in EngineInfo
};

// Step checks the engine's contract and ends the process where it is broken.
// The hooks are thread-safe.
class FakeEngine : public Engine {
 public:
  // The distribution depends on the last symbols only, this many at most.
  static constexpr int64_t kContext = 3;

  explicit FakeEngine(const FakeEngineOptions& options = {});

  absl::StatusOr<SpanCache> NewCache(int64_t start = 0) override;
  absl::StatusOr<StepResult> Step(const Batch& batch) override;
  const ModelConfig& config() const override { return config_; }
  const EngineInfo& info() const override { return info_; }
  const EngineOptions& options() const override { return engine_options_; }
  int32_t free_slot_count() const override { return slots_.free_count(); }

  // ln P of each symbol after `text`, of which the last kContext count. Not
  // empty: before a text's first symbol the engine knows nothing.
  std::vector<float> LogProbsAfter(absl::Span<const uint16_t> text) const;

  // Calls `hook` at the start of every step with the number of steps before it.
  // An error is what the step then returns.
  void SetHook(std::function<absl::Status(int64_t)> hook);
  // From now on steps wait at their start; Release lets `count` of them go on.
  void Hold();
  void Release(int64_t count);
  void ReleaseAll();
  // Returns once a step waits at its start.
  void WaitUntilHeld();

  std::vector<FakeStep> steps() const;

 private:
  void PassGate() ABSL_LOCKS_EXCLUDED(mutex_);
  FakeSequence Check(const Sequence& sequence) const;
  SequenceResult Read(const Sequence& sequence);

  const ModelConfig config_;
  const EngineOptions engine_options_;
  EngineInfo info_;
  SlotPool slots_;
  std::vector<std::vector<float>> rows_;      // [kRows][vocab_size]
  std::vector<std::vector<uint16_t>> texts_;  // [slots], the last symbols

  mutable Mutex mutex_;
  CondVar changed_;
  std::function<absl::Status(int64_t)> hook_ ABSL_GUARDED_BY(mutex_);
  std::vector<FakeStep> steps_ ABSL_GUARDED_BY(mutex_);
  bool holds_ ABSL_GUARDED_BY(mutex_) = false;
  int64_t permits_ ABSL_GUARDED_BY(mutex_) = 0;
  bool is_held_ ABSL_GUARDED_BY(mutex_) = false;
};

// By hand, byte after byte: the score of `text` from byte `begin` on under a
// FakeEngine of the 256 bytes.
BitsTotal FakeScore(const FakeEngine& engine, absl::string_view text,
                    size_t begin);
// ln P of byte `index` of `text`.
float FakeLogProb(const FakeEngine& engine, absl::string_view text,
                  size_t index);

}  // namespace spanlm
