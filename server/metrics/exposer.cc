// SPDX-License-Identifier: Apache-2.0
#include "server/metrics/exposer.h"

#include <prometheus/exposer.h>

#include <exception>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

namespace spanlm {

absl::StatusOr<std::unique_ptr<Exposer>> Exposer::Start(
    const std::string& address, const Metrics& metrics) {
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat("metrics address \"", address, "\": want HOST:PORT"));
  }
  std::unique_ptr<prometheus::Exposer> exposer;
  try {
    exposer = std::make_unique<prometheus::Exposer>(address);
  } catch (const std::exception& error) {
    return absl::AlreadyExistsError(
        absl::StrCat("metrics address ", address, ": ", error.what()));
  }
  exposer->RegisterCollectable(metrics.collectable());
  const std::vector<int> ports = exposer->GetListeningPorts();
  const std::string bound =
      absl::StrCat(address.substr(0, colon + 1), ports.empty() ? 0 : ports[0]);
  return std::unique_ptr<Exposer>(new Exposer(std::move(exposer), bound));
}

Exposer::Exposer(std::unique_ptr<prometheus::Exposer> exposer,
                 std::string address)
    : exposer_(std::move(exposer)), address_(std::move(address)) {}

Exposer::~Exposer() = default;

}  // namespace spanlm
