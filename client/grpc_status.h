// SPDX-License-Identifier: Apache-2.0
// The server's errors as this program reports them.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "grpcpp/support/status.h"

namespace spanlm {

// The same code; the message is "REASON: message" where the server gave an
// ErrorInfo, and each field that it found wrong follows.
absl::Status FromGrpc(const grpc::Status& status);

// What the process exits with: 0, or 70 + the gRPC code.
int ExitCode(const absl::Status& status);

// "CODE: message", for a person.
std::string DescribeError(const absl::Status& status);

}  // namespace spanlm
