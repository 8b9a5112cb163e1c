// SPDX-License-Identifier: Apache-2.0
// What a status says beside its code and text: why, in one word that a client
// can switch on, and which field of the request is to blame.
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
inline constexpr absl::string_view kReasonEngineFailed = "ENGINE_FAILED";
inline constexpr absl::string_view kReasonInvariant = "INVARIANT";
inline constexpr absl::string_view kReasonNan = "NAN";
inline constexpr absl::string_view kReasonFieldInvalid = "FIELD_INVALID";

// `status` with its reason set or replaced; an OK status stays without.
absl::Status WithReason(absl::Status status, absl::string_view reason);

// The reason that WithReason gave; empty: none.
std::string ReasonOf(const absl::Status& status);

// kInvalidArgument about one field of a request, by its path in the message:
// items[3].continuation. `reason` is FIELD_INVALID, LIMIT_EXCEEDED or FORMAT.
absl::Status FieldError(absl::string_view field, absl::string_view description,
                        absl::string_view reason);

// `status` with the field that it is about.
absl::Status WithField(absl::Status status, absl::string_view field);

// That field; empty: none.
std::string FieldOf(const absl::Status& status);

// A status about a field of the message in the field `parent`, as one about a
// field of the message around it.
absl::Status InField(absl::string_view parent, const absl::Status& status);

}  // namespace spanlm
