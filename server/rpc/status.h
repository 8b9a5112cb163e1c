// SPDX-License-Identifier: Apache-2.0
// The one place where an absl::Status becomes a gRPC status.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/status.h>

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "google/rpc/status.pb.h"

namespace spanlm {

// Reasons that only this folder gives (server/jobs/reason.h has the others).
inline constexpr absl::string_view kReasonModel = "MODEL";
inline constexpr absl::string_view kReasonDataset = "DATASET";
inline constexpr absl::string_view kReasonRange = "RANGE";
inline constexpr absl::string_view kReasonLimitExceeded = "LIMIT_EXCEEDED";
inline constexpr absl::string_view kReasonFormat = "FORMAT";
inline constexpr absl::string_view kReasonModelMismatch = "MODEL_MISMATCH";
inline constexpr absl::string_view kReasonLoading = "LOADING";
inline constexpr absl::string_view kReasonOption = "OPTION";

// What a client should wait before it tries again after RESOURCE_EXHAUSTED.
inline constexpr int kRetryDelayMs = 250;

// `status` under the same code, its message cut to 1 KiB, with exactly one
// ErrorInfo of domain "spanlm", plus BadRequest for a field error,
// PreconditionFailure for FAILED_PRECONDITION, QuotaFailure and RetryInfo for
// RESOURCE_EXHAUSTED. kInternal and kUnknown send only a request id; the log
// has the text.
google::rpc::Status ToRpcStatus(const absl::Status& status);

// The same as what a call ends with.
grpc::Status ToGrpc(const absl::Status& status);
// And adds the trailer grpc-retry-pushback-ms to `context` for
// RESOURCE_EXHAUSTED. Call it right before Finish.
grpc::Status ToGrpc(const absl::Status& status,
                    grpc::ServerContextBase* context);

// kInvalidArgument (FORMAT) for bytes that are no message of the kind expected.
absl::Status Malformed();

// kUnimplemented with reason OPTION.
absl::Status NotBuiltIn(absl::string_view what);

// `text` made printable and cut to `max_size` bytes, for a message that
// repeats what a client sent.
std::string Quoted(absl::string_view text, size_t max_size = 64);

}  // namespace spanlm
