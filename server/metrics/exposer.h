// SPDX-License-Identifier: Apache-2.0
// /metrics over HTTP.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "server/metrics/metrics.h"

namespace prometheus {
class Exposer;
}  // namespace prometheus

namespace spanlm {

// Answers scrapes on threads of its own until it dies. Thread-safe.
class Exposer {
 public:
  // Binds `address`, HOST:PORT or [IPV6]:PORT; port 0: any free one.
  // kInvalidArgument: no such address; kAlreadyExists: in use, or none of this
  // machine. `metrics` is lent.
  static absl::StatusOr<std::unique_ptr<Exposer>> Start(
      const std::string& address, const Metrics& metrics);
  ~Exposer();

  // The address with the port that was bound.
  const std::string& address() const { return address_; }

 private:
  Exposer(std::unique_ptr<prometheus::Exposer> exposer, std::string address);

  const std::unique_ptr<prometheus::Exposer> exposer_;
  const std::string address_;
};

}  // namespace spanlm
