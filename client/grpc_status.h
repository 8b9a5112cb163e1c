// SPDX-License-Identifier: Apache-2.0
// The server's errors as this program reports them.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "grpcpp/support/status.h"

namespace spanlm {

// Whether the call ended because its server or the way to it went: UNAVAILABLE,
// or CANCELLED without the details that a server's own decision has, which is
// how the last calls of a server that stops end. Never cancel a call and ask.
bool IsCutOff(const grpc::Status& status);

// The same code, but UNAVAILABLE for a call that was cut off; the message is
// "REASON: message" where the server gave an ErrorInfo, and each field that it
// found wrong is in it.
absl::Status FromGrpc(const grpc::Status& status);

// What the process exits with: 0, or 70 + the gRPC code.
int ExitCode(const absl::Status& status);

// "CODE: message", for a person.
std::string DescribeError(const absl::Status& status);

}  // namespace spanlm
