// SPDX-License-Identifier: Apache-2.0
#include "server/rpc/status.h"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "base/log.h"
#include "google/rpc/error_details.pb.h"
#include "server/jobs/reason.h"

namespace spanlm {
namespace {

constexpr size_t kMaxMessageSize = 1024;
constexpr char kDomain[] = "spanlm";

// Cuts at a character's border: a gRPC message is UTF-8.
std::string Cut(absl::string_view text, size_t max_size) {
  if (text.size() <= max_size) return std::string(text);
  size_t end = max_size;
  while (end > 0 && (static_cast<uint8_t>(text[end]) & 0xC0) == 0x80) --end;
  return std::string(text.substr(0, end));
}

// For statuses of layers that know no reasons.
std::string DefaultReason(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kInvalidArgument:
      return "FIELD_INVALID";
    case absl::StatusCode::kNotFound:
      return "MODEL";
    case absl::StatusCode::kOutOfRange:
      return "RANGE";
    case absl::StatusCode::kResourceExhausted:
      return "QUEUE_FULL";
    case absl::StatusCode::kDeadlineExceeded:
      return "RUNNING";
    case absl::StatusCode::kCancelled:
      return "CLIENT";
    case absl::StatusCode::kUnimplemented:
      return "OPTION";
    case absl::StatusCode::kFailedPrecondition:
      return "MODEL_MISMATCH";
    case absl::StatusCode::kDataLoss:
      return "CHECKSUM";
    default:
      return "INVARIANT";
  }
}

std::string NewRequestId() {
  static std::atomic<uint64_t> count{
      static_cast<uint64_t>(absl::GetCurrentTimeNanos())};
  // The odd factor spreads consecutive counts over all 64 bits.
  return absl::StrCat(
      absl::Hex(++count * 0x9E3779B97F4A7C15U, absl::kZeroPad16));
}

bool HidesText(absl::StatusCode code) {
  return code == absl::StatusCode::kInternal ||
         code == absl::StatusCode::kUnknown;
}

}  // namespace

google::rpc::Status ToRpcStatus(const absl::Status& status) {
  google::rpc::Status result;
  const absl::StatusCode code = status.code() == absl::StatusCode::kUnknown
                                    ? absl::StatusCode::kInternal
                                    : status.code();
  result.set_code(static_cast<int>(code));
  if (status.ok()) return result;

  const std::string text(status.message());
  google::rpc::ErrorInfo info;
  const std::string reason(ReasonOf(status));
  info.set_reason(reason.empty() ? DefaultReason(code) : reason);
  info.set_domain(kDomain);
  if (HidesText(code)) {
    const std::string id = NewRequestId();
    Log(LogLevel::kError, "internal_error",
        {{"request_id", id}, {"reason", info.reason()}, {"message", text}});
    (*info.mutable_metadata())["request_id"] = id;
    result.set_message(absl::StrCat("internal error; request ", id));
  } else {
    result.set_message(Cut(text, kMaxMessageSize));
  }
  result.add_details()->PackFrom(info);

  const std::string field = FieldOf(status);
  if (code == absl::StatusCode::kInvalidArgument && !field.empty()) {
    google::rpc::BadRequest bad;
    auto* violation = bad.add_field_violations();
    violation->set_field(field);
    absl::string_view description = result.message();
    if (absl::ConsumePrefix(&description, field)) {
      absl::ConsumePrefix(&description, ": ");
    }
    violation->set_description(std::string(description));
    result.add_details()->PackFrom(bad);
  }
  if (code == absl::StatusCode::kFailedPrecondition) {
    google::rpc::PreconditionFailure failure;
    auto* violation = failure.add_violations();
    violation->set_type(info.reason());
    violation->set_subject(field);
    violation->set_description(result.message());
    result.add_details()->PackFrom(failure);
  }
  if (code == absl::StatusCode::kResourceExhausted) {
    google::rpc::QuotaFailure quota;
    auto* violation = quota.add_violations();
    violation->set_subject(info.reason());
    violation->set_description(result.message());
    result.add_details()->PackFrom(quota);
    google::rpc::RetryInfo retry;
    retry.mutable_retry_delay()->set_nanos(kRetryDelayMs * 1000000);
    result.add_details()->PackFrom(retry);
  }
  return result;
}

grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  const google::rpc::Status details = ToRpcStatus(status);
  return grpc::Status(static_cast<grpc::StatusCode>(details.code()),
                      details.message(), details.SerializeAsString());
}

grpc::Status ToGrpc(const absl::Status& status,
                    grpc::ServerContextBase* context) {
  if (status.code() == absl::StatusCode::kResourceExhausted) {
    context->AddTrailingMetadata("grpc-retry-pushback-ms",
                                 absl::StrCat(kRetryDelayMs));
  }
  return ToGrpc(status);
}

absl::Status Malformed() {
  return WithReason(absl::InvalidArgumentError(
                        "the message does not parse: cut off, or a string "
                        "that is no UTF-8"),
                    kReasonFormat);
}

absl::Status NotBuiltIn(absl::string_view what) {
  return WithReason(absl::UnimplementedError(absl::StrCat(
                        what, " is not implemented by this server")),
                    kReasonOption);
}

std::string Quoted(absl::string_view text, size_t max_size) {
  const bool is_cut = text.size() > max_size;
  return absl::StrCat("\"", absl::CHexEscape(text.substr(0, max_size)), "\"",
                      is_cut ? "…" : "");
}

}  // namespace spanlm
