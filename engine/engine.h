// SPDX-License-Identifier: Apache-2.0
// The engine's door: symbols in, log-probabilities out, one step at a time.
//
//   absl::StatusOr<std::unique_ptr<Engine>> engine =
//       CreateEngine("models/demo", EngineOptions{});
//   absl::StatusOr<SpanCache> cache = (*engine)->NewCache();
//   absl::StatusOr<StepResult> result =
//       (*engine)->Step({{&*cache, symbols, Want::kTargets}});
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/batch.h"
#include "engine/model_config.h"
#include "engine/span_cache.h"

namespace spanlm {

struct EngineOptions {
  std::string device = "cpu";    // "cpu", "cuda" or "cuda:N"
  int32_t threads = 0;           // CPU workers; 0: one for each core allowed
  std::string weights = "fp32";  // format of the weights in memory
  std::string kv = "fp32";       // format of cached keys and values
  int64_t state_budget_bytes = int64_t{1} << 30;  // the slab of all caches
  int32_t max_step_symbols = 512;  // in all sequences of a step together
};

// Facts about a loaded model that no step changes.
struct EngineInfo {
  std::string digest;    // SHA-256 of config.json, hex: names the model
  std::string numerics;  // weights/cache/SIMD target/kernel version
  int64_t parameter_count = 0;
  int64_t state_bytes = 0;            // a cache's exact size in the slab
  int32_t slot_count = 0;             // caches that fit the budget
  int64_t receptive_field_bytes = 0;  // 1 + Σ of the layers' windows
  // [n_layer][n_head]; for Transformer-XL the reach is mem_len − 1 and the
  // spans are empty.
  std::vector<std::vector<float>> spans;      // learned, positions, no ramp
  std::vector<std::vector<int32_t>> reaches;  // furthest distance attended to
  std::vector<int32_t> layer_windows;         // [n_layer], positions
};

// Runs steps of one model. Results do not depend on how a text is cut into
// chunks, on the other sequences of a step or on the number of threads: on the
// CPU no bit changes.
class Engine {
 public:
  virtual ~Engine() = default;

  // A cache at `start`, a multiple of kBlock, with nothing read: a text's
  // beginning, or a place inside it from which what is read next counts as
  // position `start` (the shards of an evaluation). kResourceExhausted when
  // no slot is free; kInvalidArgument names a bad start. Thread-safe.
  virtual absl::StatusOr<SpanCache> NewCache(int64_t start = 0) = 0;

  // Reads every sequence's symbols. kInvalidArgument (nothing is read): an
  // empty batch or chunk, a symbol out of range, a cache twice, or more than
  // max_step_symbols. kDataLoss: a log-probability is not a finite number; the
  // caches of the batch must then be dropped. Any other code: the device
  // failed, and so will later steps. One thread at a time.
  virtual absl::StatusOr<StepResult> Step(const Batch& batch) = 0;

  virtual const ModelConfig& config() const = 0;
  virtual const EngineInfo& info() const = 0;
  virtual const EngineOptions& options() const = 0;
  // Slots not in use. Thread-safe.
  virtual int32_t free_slot_count() const = 0;
};

// Positions a block of the attention's sums covers (docs/model.md).
inline constexpr int64_t kBlock = 32;

// Opens a model directory and makes an engine of it. kNotFound,
// kFailedPrecondition or kDataLoss as the directory is missing, unfit or
// damaged; kInvalidArgument names a bad option; kResourceExhausted when not
// even one cache fits the budget, or tables pass 4 GiB; kUnimplemented names a
// device or format that this build does not hold.
absl::StatusOr<std::unique_ptr<Engine>> CreateEngine(
    const std::string& model_dir, const EngineOptions& options);

}  // namespace spanlm
