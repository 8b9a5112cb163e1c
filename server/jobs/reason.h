// SPDX-License-Identifier: Apache-2.0
// Why, in one word that a client can switch on: the reason beside a code.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace spanlm {

// Reasons that jobs and the scheduler give; each belongs to one code.
inline constexpr absl::string_view kReasonQueueFull = "QUEUE_FULL";
inline constexpr absl::string_view kReasonQueueBytes = "QUEUE_BYTES";
inline constexpr absl::string_view kReasonStreamLimit = "STREAM_LIMIT";
inline constexpr absl::string_view kReasonDraining = "DRAINING";
inline constexpr absl::string_view kReasonQueued = "QUEUED";    // deadline
inline constexpr absl::string_view kReasonRunning = "RUNNING";  // deadline
inline constexpr absl::string_view kReasonClient = "CLIENT";    // cancelled
inline constexpr absl::string_view kReasonAdmin = "ADMIN";      // cancelled
inline constexpr absl::string_view kReasonInvariant = "INVARIANT";
inline constexpr absl::string_view kReasonNan = "NAN";
inline constexpr absl::string_view kReasonFieldInvalid = "FIELD_INVALID";

// `status` with its reason set or replaced; an OK status stays without.
absl::Status WithReason(absl::Status status, absl::string_view reason);

// The reason that WithReason gave; empty: none.
std::string ReasonOf(const absl::Status& status);

}  // namespace spanlm
