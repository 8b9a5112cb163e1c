// SPDX-License-Identifier: Apache-2.0
// When a failed call is worth another attempt, and how long to wait for it.
#pragma once

#include <functional>
#include <optional>
#include <random>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "grpcpp/client_context.h"
#include "grpcpp/support/status.h"

namespace spanlm {

struct RetryOptions {
  int max_attempts = 5;  // in a row without progress; 1: never retry
  absl::Duration initial_backoff = absl::Milliseconds(100);
  absl::Duration max_backoff = absl::Seconds(5);
  std::function<void(absl::Duration)> sleep = absl::SleepFor;
};

// The attempts of one call. One that was cut off (IsCutOff) is retried after a
// backoff that doubles, less a random part of up to a half, so that clients do
// not come back in step. RESOURCE_EXHAUSTED is retried only where the server
// says when, in the trailer grpc-retry-pushback-ms; nothing else is. One thread
// at a time.
class Retry {
 public:
  // `options` outlives this. No attempt begins at or after `deadline`.
  Retry(const RetryOptions& options, absl::Time deadline);

  // Waits and says true if the call that ended in `status` is to be made
  // again; false if `status` is its result. `context` is that call's.
  bool ShouldRetry(const grpc::Status& status,
                   const grpc::ClientContext& context);
  // The call got somewhere: attempts count from the start again.
  void Progressed() { failures_ = 0; }

 private:
  std::optional<absl::Duration> Delay(const grpc::Status& status,
                                      const grpc::ClientContext& context);

  const RetryOptions& options_;
  const absl::Time deadline_;
  int failures_ = 0;
  std::minstd_rand random_;
};

}  // namespace spanlm
