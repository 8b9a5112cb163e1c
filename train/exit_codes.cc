// SPDX-License-Identifier: Apache-2.0
#include "train/exit_codes.h"

#include <iostream>

namespace spanlm {

int ExitCode(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return kExitDone;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kUnimplemented:
      return kExitUsage;
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kDataLoss:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kOutOfRange:
      return kExitData;
    case absl::StatusCode::kUnavailable:
      return kExitIo;
    default:
      return kExitFailure;
  }
}

int Report(const absl::Status& status) {
  if (!status.ok()) {
    std::cerr << "spanlm-train: " << status.message() << std::endl;
  }
  return ExitCode(status);
}

}  // namespace spanlm
