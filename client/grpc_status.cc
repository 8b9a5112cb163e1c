// SPDX-License-Identifier: Apache-2.0
#include "client/grpc_status.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace spanlm {
namespace {

constexpr int kFirstErrorExit = 70;

}  // namespace

bool IsCutOff(const grpc::Status& status) {
  return status.error_code() == grpc::UNAVAILABLE ||
         (status.error_code() == grpc::CANCELLED &&
          status.error_details().empty());
}

absl::Status FromGrpc(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  if (status.error_code() == grpc::CANCELLED && IsCutOff(status)) {
    return absl::UnavailableError("the server ended the call");
  }
  if (status.error_code() == grpc::UNIMPLEMENTED &&
      status.error_message().empty()) {
    return absl::UnimplementedError(
        "the server has no such method; is this its data address?");
  }
  std::string reason;
  std::string fields;
  google::rpc::Status details;
  if (details.ParseFromString(status.error_details())) {
    for (const google::protobuf::Any& detail : details.details()) {
      google::rpc::ErrorInfo info;
      google::rpc::BadRequest bad_request;
      if (detail.UnpackTo(&info)) reason = absl::StrCat(info.reason(), ": ");
      if (!detail.UnpackTo(&bad_request)) continue;
      for (const auto& violation : bad_request.field_violations()) {
        // Our own servers begin the message with the field.
        if (absl::StartsWith(status.error_message(), violation.field())) {
          continue;
        }
        absl::StrAppend(&fields, "; ", violation.field(), ": ",
                        violation.description());
      }
    }
  }
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()),
                      absl::StrCat(reason, status.error_message(), fields));
}

int ExitCode(const absl::Status& status) {
  return status.ok() ? 0 : kFirstErrorExit + static_cast<int>(status.code());
}

std::string DescribeError(const absl::Status& status) {
  return absl::StrCat(absl::StatusCodeToString(status.code()), ": ",
                      status.message());
}

}  // namespace spanlm
