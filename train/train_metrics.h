// SPDX-License-Identifier: Apache-2.0
// What Prometheus is told of a run under way.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "train/learner.h"

namespace spanlm {

// The metrics spanlm_train_* on a listener of their own (docs/operations.md).
// One thread at a time.
class TrainMetrics {
 public:
  // Serves /metrics at "host:port", port 0 being any. kInvalidArgument: no such
  // form; kUnavailable: it cannot listen there. Both name the address.
  static absl::StatusOr<std::unique_ptr<TrainMetrics>> Listen(
      const std::string& address);
  ~TrainMetrics();

  // Where it listens, "host:port".
  const std::string& address() const { return address_; }

  void CountUpdate(const UpdateReport& report, absl::Duration duration);
  // After the update of that number; `mean_span` in positions.
  void SetState(int64_t update, double lr, double loss_scale, double mean_span);
  void SetValidation(double bits_per_symbol);
  void CountCheckpoint(absl::Time time);

 private:
  struct Instruments;

  TrainMetrics(std::unique_ptr<Instruments> instruments, std::string address);

  const std::unique_ptr<Instruments> instruments_;
  const std::string address_;
};

}  // namespace spanlm
