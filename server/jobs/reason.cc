// SPDX-License-Identifier: Apache-2.0
#include "server/jobs/reason.h"

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "absl/types/optional.h"

namespace spanlm {
namespace {

constexpr absl::string_view kReasonPayload = "spanlm.reason";
constexpr absl::string_view kFieldPayload = "spanlm.field";

std::string PayloadOf(const absl::Status& status, absl::string_view name) {
  const absl::optional<absl::Cord> payload = status.GetPayload(name);
  return payload.has_value() ? std::string(*payload) : std::string();
}

}  // namespace

absl::Status WithReason(absl::Status status, absl::string_view reason) {
  status.SetPayload(kReasonPayload, absl::Cord(reason));
  return status;
}

std::string ReasonOf(const absl::Status& status) {
  return PayloadOf(status, kReasonPayload);
}

absl::Status FieldError(absl::string_view field, absl::string_view description,
                        absl::string_view reason) {
  return WithField(WithReason(absl::InvalidArgumentError(
                                  absl::StrCat(field, ": ", description)),
                              reason),
                   field);
}

absl::Status WithField(absl::Status status, absl::string_view field) {
  status.SetPayload(kFieldPayload, absl::Cord(field));
  return status;
}

std::string FieldOf(const absl::Status& status) {
  return PayloadOf(status, kFieldPayload);
}

absl::Status InField(absl::string_view parent, const absl::Status& status) {
  const std::string field = FieldOf(status);
  if (field.empty()) return status;
  return WithField(
      WithReason(absl::Status(status.code(),
                              absl::StrCat(parent, ".", status.message())),
                 ReasonOf(status)),
      absl::StrCat(parent, ".", field));
}

}  // namespace spanlm
