// SPDX-License-Identifier: Apache-2.0
// A request, or one item of it, as a source of chunks and a sink of results.
#pragma once

#include <atomic>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "engine/batch.h"
#include "engine/span_cache.h"

namespace spanlm {

enum class JobKind { kScore, kGenerate, kEvaluate };
enum class Priority { kInteractive, kStandard, kBatch };
inline constexpr int kJobKindCount = 3;
inline constexpr int kPriorityCount = 3;

// Asks for the early end of a request. Owned by the call, which outlives the
// request's jobs. After Set, wake the scheduler. Thread-safe.
class CancelFlag {
 public:
  enum class Why { kNotSet, kClientLeft, kInvalid };

  // kInvalid: what the client sent is wrong. The first reason stays.
  void Set(Why why = Why::kClientLeft) {
    Why not_set = Why::kNotSet;
    why_.compare_exchange_strong(not_set, why);
  }
  Why why() const { return why_.load(); }

 private:
  std::atomic<Why> why_{Why::kNotSet};
};

// What holds for all jobs of a request.
struct RequestTerms {
  JobKind kind = JobKind::kScore;
  Priority priority = Priority::kStandard;
  absl::Time deadline = absl::InfiniteFuture();
  const CancelFlag* cancel = nullptr;  // lent; nullptr: cannot be cancelled
};

// Where a request's time went.
struct RequestTiming {
  absl::Duration queue;    // from Submit to the start of its first step
  absl::Duration compute;  // sum of the steps that held a part of it
  absl::Duration total;    // from Submit to now
};

// A decoding job's next symbol depends on its last result, so it has just one.
enum class Phase { kPrefill, kDecode };

// What a job could read in the next step.
struct Work {
  Phase phase = Phase::kPrefill;
  int64_t symbols = 0;    // 0: nothing for now (it waits for its client)
  int64_t generated = 0;  // bytes just drawn without a step
};

// The next symbols of a job's text, lent until its next call.
struct Chunk {
  absl::Span<const uint16_t> symbols;
  Want want = Want::kNothing;
};

// Bytes that a step moved through the model.
struct ByteCounts {
  int64_t read = 0;  // as context, prompt or warm-up
  int64_t scored = 0;
  int64_t generated = 0;
};

// One text on its way through the engine. After Submit all calls come on the
// scheduler's thread, in the order of declaration:
//   (Ready  (Next  Consume)?)*  End
// End may come at any time, once, and is the last call before destruction; it
// may come on Submit's thread if the request is refused. None may block.
class Job {
 public:
  virtual ~Job() = default;

  // Memory that the job and its call hold or may come to hold while it waits,
  // in bytes. The same until it runs.
  virtual int64_t held_bytes() const = 0;
  // Where its cache starts: a multiple of kBlock.
  virtual int64_t start() const { return 0; }
  // Whether it has nothing left to do, perhaps from the beginning.
  virtual bool done() const = 0;

  // What could be read next. May make the job done.
  virtual Work Ready() = 0;
  // Up to `max_symbols` symbols, at least one; only after Ready() said so. An
  // error ends the job with it.
  virtual absl::StatusOr<Chunk> Next(int64_t max_symbols) = 0;
  // The engine's answer to the chunk; `cache` stands after it. An error ends
  // the job with it.
  virtual absl::StatusOr<ByteCounts> Consume(const SequenceResult& result,
                                             const SpanCache& cache) = 0;
  // The outcome. Nothing that the job was lent may be used after it.
  virtual void End(const absl::Status& status, const RequestTiming& timing) = 0;
};

}  // namespace spanlm
