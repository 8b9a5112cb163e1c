// SPDX-License-Identifier: Apache-2.0
#include "server/jobs/reason.h"

#include "absl/strings/cord.h"
#include "absl/types/optional.h"

namespace spanlm {
namespace {

constexpr absl::string_view kPayload = "spanlm.reason";

}  // namespace

absl::Status WithReason(absl::Status status, absl::string_view reason) {
  status.SetPayload(kPayload, absl::Cord(reason));
  return status;
}

std::string ReasonOf(const absl::Status& status) {
  const absl::optional<absl::Cord> reason = status.GetPayload(kPayload);
  return reason.has_value() ? std::string(*reason) : std::string();
}

}  // namespace spanlm
