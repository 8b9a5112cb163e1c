// SPDX-License-Identifier: Apache-2.0
#include "server/rpc/status.h"

#include "server/jobs/reason.h"
#include "server/rpc/sha256.h"
#include "tests/server/rpc/served_fixture.h"
#include "tests/support/status_matchers.h"

namespace spanlm {
namespace {

TEST(StatusTest, CutsLongMessagesAtACharacter) {
  std::string text;
  for (int i = 0; i < 1000; ++i) text += "\xC3\xA4";
  text.insert(0, "x");

  const google::rpc::Status status = ToRpcStatus(absl::NotFoundError(text));

  EXPECT_EQ(status.message().size(), 1023U);
  EXPECT_EQ(DetailsOf(status).info_count, 1);
}

TEST(StatusTest, CarriesTheGivenReason) {
  const google::rpc::Status status =
      ToRpcStatus(WithReason(absl::UnavailableError("later"), kReasonDraining));

  EXPECT_EQ(status.code(), static_cast<int>(absl::StatusCode::kUnavailable));
  EXPECT_EQ(DetailsOf(status).info.reason(), "DRAINING");
  EXPECT_EQ(DetailsOf(status).info.domain(), "spanlm");
}

TEST(StatusTest, SaysWhichQuotaAndWhichCondition) {
  google::rpc::QuotaFailure quota;
  google::rpc::PreconditionFailure condition;
  const auto unpack = [&](const google::rpc::Status& status) {
    for (const google::protobuf::Any& any : status.details()) {
      any.UnpackTo(&quota);
      any.UnpackTo(&condition);
    }
  };

  unpack(ToRpcStatus(
      WithReason(absl::ResourceExhaustedError("12 wait"), kReasonQueueFull)));
  ASSERT_EQ(quota.violations_size(), 1);
  EXPECT_EQ(quota.violations(0).subject(), "QUEUE_FULL");
  EXPECT_EQ(quota.violations(0).description(), "12 wait");
  EXPECT_EQ(condition.violations_size(), 0);

  unpack(ToRpcStatus(
      WithField(WithReason(absl::FailedPreconditionError("another model"),
                           kReasonModelMismatch),
                "resume_token")));
  ASSERT_EQ(condition.violations_size(), 1);
  EXPECT_EQ(condition.violations(0).type(), "MODEL_MISMATCH");
  EXPECT_EQ(condition.violations(0).subject(), "resume_token");
}

TEST(StatusTest, ShowsNothingOfAnInternalError) {
  for (const absl::Status& status :
       {absl::InternalError("secret"), absl::UnknownError("secret")}) {
    const google::rpc::Status sent = ToRpcStatus(status);

    EXPECT_EQ(sent.code(), static_cast<int>(absl::StatusCode::kInternal));
    EXPECT_EQ(sent.SerializeAsString().find("secret"), std::string::npos);
  }
}

TEST(StatusTest, NamesTheField) {
  const google::rpc::Status status = ToRpcStatus(
      FieldError("items[3]", "got 5, want 0 to 4", "FIELD_INVALID"));

  EXPECT_EQ(status.message(), "items[3]: got 5, want 0 to 4");
  const google::rpc::BadRequest bad = DetailsOf(status).bad_request;
  ASSERT_EQ(bad.field_violations_size(), 1);
  EXPECT_EQ(bad.field_violations(0).field(), "items[3]");
  EXPECT_EQ(bad.field_violations(0).description(), "got 5, want 0 to 4");
}

TEST(Sha256Test, GoesOnFromASavedState) {
  const std::string text = SomeText(1000);
  Sha256 whole;
  whole.Update(text);
  for (const size_t cut : {0, 1, 63, 64, 65, 640, 1000}) {
    Sha256 first;
    first.Update(text.substr(0, cut));
    ASSERT_OK_AND_ASSIGN(Sha256 second, Sha256::Load(first.Save()));
    second.Update(text.substr(cut));

    EXPECT_EQ(second.Hex(), whole.Hex()) << cut;
  }
}

TEST(Sha256Test, KnowsThePublishedDigest) {
  Sha256 sha;
  sha.Update("abc");

  EXPECT_EQ(sha.Hex(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(Sha256Test, RefusesWhatIsNoState) {
  EXPECT_FALSE(Sha256::Load("").ok());
  EXPECT_FALSE(Sha256::Load(Sha256().Save() + "x").ok());
  EXPECT_FALSE(Sha256::Load(std::string(200, '\xFF')).ok());
}

}  // namespace
}  // namespace spanlm
