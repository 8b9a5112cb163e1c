// SPDX-License-Identifier: Apache-2.0
#include "client/client.h"

#include <string>
#include <thread>

#include "client/grpc_status.h"
#include "gtest/gtest.h"
#include "tests/client/fake_server.h"
#include "tests/support/status_matchers.h"

namespace spanlm {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

v1::ScoreRequest SmallRequest() {
  v1::ScoreRequest request;
  request.add_items()->set_continuation("text");
  return request;
}

TEST(ClientTest, RetriesUnavailableWithDoublingBackoff) {
  FakeServer server;
  int calls = 0;
  server.on_score = [&](auto*, const auto&, v1::ScoreResponse* response) {
    if (++calls < 4) return ServerError(grpc::UNAVAILABLE, "LOADING", "wait");
    response->set_model_digest("abc");
    return grpc::Status::OK;
  };
  Client client(server.Options());

  ASSERT_OK_AND_ASSIGN(v1::ScoreResponse response,
                       client.Score(SmallRequest()));

  EXPECT_EQ(response.model_digest(), "abc");
  ASSERT_THAT(server.waits, SizeIs(3));
  for (int i = 0; i < 3; ++i) {
    const absl::Duration full = absl::Milliseconds(100 << i);
    EXPECT_LE(server.waits[i], full);
    EXPECT_GE(server.waits[i], full / 2);
  }
}

TEST(ClientTest, GivesUpAfterTheLastAttemptAndKeepsTheReason) {
  FakeServer server;
  int calls = 0;
  server.on_score = [&](auto*, const auto&, auto*) {
    ++calls;
    return ServerError(grpc::UNAVAILABLE, "DRAINING", "the server ends");
  };
  Client client(server.Options());

  const auto response = client.Score(SmallRequest());

  EXPECT_THAT(response, StatusIs(absl::StatusCode::kUnavailable,
                                 "DRAINING: the server ends"));
  EXPECT_EQ(calls, 5);
}

TEST(ClientTest, ACallThatTheServersEndCutsOffIsUnavailable) {
  FakeServer server;
  int calls = 0;
  server.on_score = [&](auto*, const auto&, auto*) {
    ++calls;
    return grpc::Status(grpc::CANCELLED, "CANCELLED");  // without details
  };
  Client client(server.Options());

  EXPECT_THAT(client.Score(SmallRequest()),
              StatusIs(absl::StatusCode::kUnavailable, "the server ended"));
  EXPECT_EQ(calls, 5);

  calls = 0;
  server.on_score = [&](auto*, const auto&, auto*) {
    ++calls;
    return ServerError(grpc::CANCELLED, "ADMIN", "ended by the server");
  };
  EXPECT_THAT(client.Score(SmallRequest()),
              StatusIs(absl::StatusCode::kCancelled, "ADMIN"));
  EXPECT_EQ(calls, 1);
}

TEST(ClientTest, ComesBackToAFullServerOnlyWhenToldTo) {
  FakeServer server;
  int calls = 0;
  server.on_score = [&](grpc::ServerContext* context, const auto&, auto*) {
    if (++calls == 1) {
      context->AddTrailingMetadata("grpc-retry-pushback-ms", "250");
    }
    return ServerError(grpc::RESOURCE_EXHAUSTED, "QUEUE_FULL", "full");
  };
  Client client(server.Options());

  const auto response = client.Score(SmallRequest());

  EXPECT_THAT(response,
              StatusIs(absl::StatusCode::kResourceExhausted, "QUEUE_FULL"));
  EXPECT_EQ(calls, 2);
  EXPECT_THAT(server.waits, ElementsAre(absl::Milliseconds(250)));
}

TEST(ClientTest, StaysAwayWhenPushbackIsNegative) {
  FakeServer server;
  int calls = 0;
  server.on_score = [&](grpc::ServerContext* context, const auto&, auto*) {
    ++calls;
    context->AddTrailingMetadata("grpc-retry-pushback-ms", "-1");
    return ServerError(grpc::UNAVAILABLE, "LOADING", "broken");
  };
  Client client(server.Options());

  EXPECT_THAT(client.Score(SmallRequest()),
              StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(calls, 1);
}

TEST(ClientTest, RetriesNothingElseAndNamesTheField) {
  FakeServer server;
  int calls = 0;
  server.on_score = [&](auto*, const auto&, auto*) {
    ++calls;
    return ServerError(grpc::INVALID_ARGUMENT, "FIELD_INVALID", "bad request",
                       "items[0].continuation");
  };
  Client client(server.Options());

  const auto response = client.Score(SmallRequest());

  EXPECT_THAT(response, StatusIs(absl::StatusCode::kInvalidArgument,
                                 "FIELD_INVALID: bad request; "
                                 "items[0].continuation: must not be odd"));
  EXPECT_EQ(calls, 1);
  EXPECT_THAT(server.waits, IsEmpty());

  server.on_score = [&](auto*, const auto&, auto*) {
    return ServerError(grpc::INVALID_ARGUMENT, "FIELD_INVALID",
                       "items: none given", "items");
  };
  EXPECT_EQ(client.Score(SmallRequest()).status().message(),
            "FIELD_INVALID: items: none given");
}

TEST(ClientTest, EndsACallAtItsDeadline) {
  FakeServer server;
  server.on_score = [](grpc::ServerContext* context, const auto&, auto*) {
    while (!context->IsCancelled()) std::this_thread::yield();
    return grpc::Status::CANCELLED;
  };
  ClientOptions options = server.Options();
  options.timeout = absl::Milliseconds(20);
  Client client(options);

  EXPECT_THAT(client.Score(SmallRequest()),
              StatusIs(absl::StatusCode::kDeadlineExceeded));
}

TEST(ClientTest, WaitsForNoRetryBeyondTheDeadline) {
  FakeServer server;
  server.on_score = [&](grpc::ServerContext* context, const auto&, auto*) {
    context->AddTrailingMetadata("grpc-retry-pushback-ms", "3600000");
    return ServerError(grpc::RESOURCE_EXHAUSTED, "QUEUE_FULL", "full");
  };
  ClientOptions options = server.Options();
  options.timeout = absl::Seconds(60);
  Client client(options);

  EXPECT_THAT(client.Score(SmallRequest()),
              StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(server.waits, IsEmpty());
}

TEST(ClientTest, ReportsAServerThatIsNotThereAsUnavailable) {
  std::string address;
  {
    FakeServer gone;
    address = gone.address();
  }
  ClientOptions options;
  options.address = address;
  options.retry.max_attempts = 1;
  Client client(options);

  EXPECT_THAT(client.Score(SmallRequest()),
              StatusIs(absl::StatusCode::kUnavailable));
}

TEST(ClientTest, TakesAnswersAboveFourMebibytes) {
  FakeServer server;
  server.on_score = [](auto*, const v1::ScoreRequest& request,
                       v1::ScoreResponse* response) {
    EXPECT_EQ(request.items(0).continuation().size(), size_t{3} << 20);
    response->add_results()->mutable_log_probs()->Resize(3 << 19, 0);
    return grpc::Status::OK;
  };
  Client client(server.Options());
  v1::ScoreRequest request;
  request.add_items()->set_continuation(std::string(size_t{3} << 20, 'x'));

  ASSERT_OK_AND_ASSIGN(v1::ScoreResponse response, client.Score(request));

  EXPECT_EQ(response.results(0).log_probs_size(), 3 << 19);
}

TEST(ClientTest, RetriesAGenerationBeforeItsFirstMessageOnly) {
  FakeServer server;
  int calls = 0;
  server.on_generate =
      [&](const auto&, grpc::ServerWriter<v1::GenerateStreamResponse>* writer) {
        if (++calls > 1) {
          v1::GenerateStreamResponse message;
          message.set_data("ab");
          writer->Write(message);
        }
        return ServerError(grpc::UNAVAILABLE, "DRAINING", "the server ends");
      };
  Client client(server.Options());
  std::string data;

  const absl::Status status =
      client.GenerateStream({}, [&](const v1::GenerateStreamResponse& message) {
        data += message.data();
        return absl::OkStatus();
      });

  EXPECT_THAT(status, StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(calls, 2);
  EXPECT_EQ(data, "ab");
}

TEST(ClientTest, EndsAGenerationWhoseCallbackFails) {
  FakeServer server;
  server.on_generate =
      [&](const auto&, grpc::ServerWriter<v1::GenerateStreamResponse>* writer) {
        v1::GenerateStreamResponse message;
        message.set_data("a");
        while (writer->Write(message)) {
        }
        return grpc::Status::OK;
      };
  Client client(server.Options());

  EXPECT_THAT(client.GenerateStream(
                  {}, [](const auto&) { return absl::DataLossError("pipe"); }),
              StatusIs(absl::StatusCode::kDataLoss, "pipe"));
}

TEST(ClientTest, GoesOnWithABrokenEvaluationFromItsToken) {
  FakeServer server;
  std::vector<std::string> tokens;
  server.on_evaluate = [&](const v1::EvaluateRequest& request,
                           grpc::ServerWriter<v1::EvaluateResponse>* writer) {
    tokens.push_back(request.resume_token());
    v1::EvaluateResponse message;
    if (tokens.size() == 1) {
      message.mutable_progress()->set_scored_bytes(10);
      message.mutable_progress()->set_resume_token("at ten");
      writer->Write(message);
      return ServerError(grpc::UNAVAILABLE, "DRAINING", "the server ends");
    }
    message.mutable_result()->set_byte_count(20);
    writer->Write(message);
    return grpc::Status::OK;
  };
  Client client(server.Options());

  ASSERT_OK_AND_ASSIGN(
      v1::EvaluationResult result,
      client.Evaluate({}, [](const auto&) { return absl::OkStatus(); }));

  EXPECT_EQ(result.byte_count(), 20);
  EXPECT_THAT(tokens, ElementsAre("", "at ten"));
}

TEST(ClientTest, RefusesAnEvaluationWithoutAResult) {
  FakeServer server;
  server.on_evaluate = [](const auto&, auto*) { return grpc::Status::OK; };
  Client client(server.Options());

  EXPECT_THAT(client.Evaluate({}, [](const auto&) { return absl::OkStatus(); }),
              StatusIs(absl::StatusCode::kInternal, "without a result"));
}

TEST(ClientTest, ReadsAllPagesOfModels) {
  FakeServer server;
  server.on_list_models = [](const v1::ListModelsRequest& request) {
    v1::ListModelsResponse page;
    const bool first = request.page_token().empty();
    page.add_models()->set_name(first ? "models/a" : "models/b");
    if (first) page.set_next_page_token("more");
    return page;
  };
  Client client(server.Options());

  ASSERT_OK_AND_ASSIGN(std::vector<v1::Model> models, client.ListModels());

  ASSERT_THAT(models, SizeIs(2));
  EXPECT_EQ(models[0].name(), "models/a");
  EXPECT_EQ(models[1].name(), "models/b");
}

TEST(GrpcStatusTest, ExitsWithSeventyPlusTheCode) {
  EXPECT_EQ(ExitCode(absl::OkStatus()), 0);
  EXPECT_EQ(ExitCode(absl::CancelledError("")), 71);
  EXPECT_EQ(ExitCode(absl::UnavailableError("")), 84);
  EXPECT_EQ(ExitCode(absl::UnauthenticatedError("")), 86);
}

TEST(GrpcStatusTest, GuessesAtAnAddressThatOffersNothing) {
  EXPECT_THAT(FromGrpc(grpc::Status(grpc::UNIMPLEMENTED, "")),
              StatusIs(absl::StatusCode::kUnimplemented, "data address"));
}

TEST(GrpcStatusTest, KeepsErrorsWithoutDetails) {
  const absl::Status status =
      FromGrpc(grpc::Status(grpc::UNKNOWN, "text", "no Status message \xff"));

  EXPECT_THAT(status, StatusIs(absl::StatusCode::kUnknown, "text"));
  EXPECT_EQ(DescribeError(status), "UNKNOWN: text");
}

}  // namespace
}  // namespace spanlm
