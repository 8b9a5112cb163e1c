// SPDX-License-Identifier: Apache-2.0
// What spanlm-train's exit codes mean to a shell or a Kubernetes Job.
#pragma once

#include "absl/status/status.h"

namespace spanlm {

inline constexpr int kExitDone = 0;
inline constexpr int kExitUsage = 64;    // wrong flags or configuration
inline constexpr int kExitData = 65;     // bad data or checkpoint
inline constexpr int kExitFailure = 70;  // any other failure
inline constexpr int kExitIo = 74;       // the disk refused
inline constexpr int kExitStopped = 75;  // SIGTERM, after saving: start again

// kInvalidArgument and kUnimplemented are the caller's flags; kNotFound,
// kDataLoss, kFailedPrecondition and kOutOfRange the data's; kUnavailable I/O.
int ExitCode(const absl::Status& status);

// Says on stderr what went wrong, if anything did, and returns ExitCode.
int Report(const absl::Status& status);

}  // namespace spanlm
