// SPDX-License-Identifier: Apache-2.0
// Which services each listener has, and what becomes of bytes that are none of
// their messages.
#include <grpcpp/create_channel.h>

#include "absl/strings/str_cat.h"
#include "spanlm/v1/admin.pb.h"
#include "spanlm/v1/session.pb.h"
#include "tests/server/rpc/raw_call.h"
#include "tests/server/rpc/served_fixture.h"

namespace spanlm {
namespace {

using grpc::StatusCode;
using testing::HasSubstr;
using testing::Not;

// Field 1, a string that is no UTF-8.
const char kNoUtf8[] = "\x0A\x02\xFF\xFE";
// Field 1 of length 100, of which nothing comes.
const char kCutOff[] = "\x0A\x64";

class ListenersTest : public ServedTest {
 protected:
  static std::shared_ptr<grpc::Channel> ChannelTo(const std::string& address) {
    return grpc::CreateChannel(address, grpc::InsecureChannelCredentials());
  }
  std::shared_ptr<grpc::Channel> Admin() {
    return ChannelTo(server_->admin_address());
  }
  std::shared_ptr<grpc::Channel> Health() {
    return ChannelTo(server_->health_address());
  }

  // Each RPC of a service that is declared and not built in.
  static void ExpectUnimplemented(
      const google::protobuf::ServiceDescriptor& service,
      const std::shared_ptr<grpc::Channel>& channel) {
    ASSERT_GT(service.method_count(), 0);
    for (int i = 0; i < service.method_count(); ++i) {
      const std::string path = absl::StrCat("/", service.full_name(), "/",
                                            service.method(i)->name());
      EXPECT_THAT(RawCall(channel, path, {""}),
                  Fails(StatusCode::UNIMPLEMENTED, "OPTION"))
          << path;
    }
  }
};

TEST_F(ListenersTest, AMessageThatDoesNotParseIsAFormatError) {
  Start();
  for (const char* method :
       {"ScoringService/Score", "GenerationService/Generate",
        "GenerationService/GenerateStream", "EvaluationService/Evaluate",
        "ModelService/GetModel"}) {
    for (const char* bytes : {kNoUtf8, kCutOff}) {
      EXPECT_THAT(
          RawCall(channel_, absl::StrCat("/spanlm.v1.", method), {bytes}),
          Fails(StatusCode::INVALID_ARGUMENT, "FORMAT"))
          << method;
    }
  }
  EXPECT_THAT(
      RawCall(Admin(), "/spanlm.v1.AdminService/UnloadModel", {kCutOff}),
      Fails(StatusCode::INVALID_ARGUMENT, "FORMAT"));
  EXPECT_EQ(MetricSum("grpc_server_msg_received_total"), 0);
  EXPECT_EQ(Metric(R"(grpc_server_handled_total{grpc_code="InvalidArgument",)"
                   R"(grpc_method="Score",)"
                   R"(grpc_service="spanlm.v1.ScoringService",)"
                   R"(grpc_type="unary"})"),
            2);
}

// To gRPC such a message looks like the end of the client's messages.
TEST_F(ListenersTest, AStreamedMessageThatDoesNotParseIsNotTheDocumentsEnd) {
  Start();
  v1::ScoreStreamRequest open, chunk, finish;
  open.mutable_open();
  chunk.set_chunk("abc");
  finish.mutable_finish();
  const std::string path = "/spanlm.v1.ScoringService/ScoreStream";

  for (const char* bytes : {kNoUtf8, kCutOff}) {
    EXPECT_THAT(RawCall(channel_, path, {bytes}),
                Fails(StatusCode::INVALID_ARGUMENT, "FORMAT"));
    EXPECT_THAT(RawCall(channel_, path,
                        {open.SerializeAsString(), chunk.SerializeAsString(),
                         bytes, finish.SerializeAsString()}),
                Fails(StatusCode::INVALID_ARGUMENT, "FORMAT"));
  }
  EXPECT_TRUE(RawCall(channel_, path,
                      {open.SerializeAsString(), chunk.SerializeAsString()})
                  .ok());
  EXPECT_TRUE(Eventually([this] { return IsIdle(); }));
}

TEST_F(ListenersTest, LogsNothingButJsonForWhatDoesNotParse) {
  Start();
  testing::internal::CaptureStderr();

  RawCall(channel_, "/spanlm.v1.ScoringService/Score", {kNoUtf8});

  EXPECT_THAT(testing::internal::GetCapturedStderr(),
              Not(HasSubstr("libprotobuf")));
}

TEST_F(ListenersTest, TheDataListenerDescribesItsServices) {
  Start();
  const std::string path =
      "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";
  // Field 7, list_services, of any content.
  const std::string request("\x3A\x01*", 3);
  std::string answer;

  EXPECT_TRUE(RawCall(channel_, path, {request}, &answer).ok());
  for (const char* service :
       {"spanlm.v1.ScoringService", "spanlm.v1.GenerationService",
        "spanlm.v1.SessionService", "spanlm.v1.EvaluationService",
        "spanlm.v1.ModelService", "grpc.health.v1.Health"}) {
    EXPECT_THAT(answer, HasSubstr(service));
  }
  EXPECT_THAT(answer, Not(HasSubstr("AdminService")));
  for (const auto& channel : {Admin(), Health()}) {
    EXPECT_EQ(RawCall(channel, path, {request}).error_code(),
              StatusCode::UNIMPLEMENTED);
  }
}

TEST_F(ListenersTest, OnlyTheAdminListenerShowsChannels) {
  Start();
  const std::string path = "/grpc.channelz.v1.Channelz/GetServers";
  std::string answer;

  EXPECT_TRUE(RawCall(Admin(), path, {""}, &answer).ok());
  EXPECT_FALSE(answer.empty());
  for (const auto& channel : {channel_, Health()}) {
    EXPECT_EQ(RawCall(channel, path, {""}).error_code(),
              StatusCode::UNIMPLEMENTED);
  }
}

TEST_F(ListenersTest, SessionsAreUnimplemented) {
  Start();
  ExpectUnimplemented(*v1::Session::descriptor()->file()->service(0), channel_);
}

TEST_F(ListenersTest, AdminIsUnimplementedAndNotOnTheDataListener) {
  Start();
  ExpectUnimplemented(*v1::LoadModelRequest::descriptor()->file()->service(0),
                      Admin());

  const grpc::Status status =
      RawCall(channel_, "/spanlm.v1.AdminService/Drain", {""});
  EXPECT_EQ(status.error_code(), StatusCode::UNIMPLEMENTED);
  EXPECT_EQ(DetailsOf(status).info_count, 0);
}

}  // namespace
}  // namespace spanlm
