// SPDX-License-Identifier: Apache-2.0
// Errors that come from what the server is doing, as a client sees them.
#include <grpcpp/create_channel.h>

#include <chrono>
#include <thread>

#include "absl/strings/str_cat.h"
#include "server/rpc/listener.h"
#include "server/rpc/model_registry.h"
#include "server/rpc/scoring_service.h"
#include "tests/server/rpc/served_fixture.h"
#include "tests/support/status_matchers.h"

namespace spanlm {
namespace {

using grpc::StatusCode;

class RuntimeErrorsTest : public ServedTest {
 protected:
  // A call that keeps the engine in a step until its end.
  void HoldAStep(const std::string& text = "holder") {
    engine_->Hold();
    holder_ = std::thread([this, text] {
      v1::ScoreResponse response;
      EXPECT_TRUE(Score(ScoreOf(text), &response).ok());
    });
    engine_->WaitUntilHeld();
  }
  double Requests(const std::string& kind, const std::string& outcome) {
    return Metric(absl::StrCat("spanlm_requests_total{kind=\"", kind,
                               "\",model=\"fake\",outcome=\"", outcome, "\"}"));
  }
  void LetGo() {
    engine_->ReleaseAll();
    if (holder_.joinable()) holder_.join();
  }

  std::thread holder_;
};

TEST_F(RuntimeErrorsTest, AFullQueueRefusesAtOnceAndSaysWhenToComeBack) {
  engine_options_.slots = 1;
  options_.max_queue_requests = 1;
  Start();
  HoldAStep();
  std::thread waiting([this] {
    v1::ScoreResponse response;
    EXPECT_TRUE(Score(ScoreOf("waiting"), &response).ok());
  });
  ASSERT_TRUE(
      Eventually([this] { return MetricSum("spanlm_requests_waiting") == 1; }));

  grpc::ClientContext context;
  v1::ScoreResponse response;
  const grpc::Status status =
      scoring()->Score(&context, ScoreOf("more"), &response);

  EXPECT_THAT(status, Fails(StatusCode::RESOURCE_EXHAUSTED, "QUEUE_FULL"));
  EXPECT_GT(DetailsOf(status).retry.retry_delay().nanos(), 0);
  EXPECT_EQ(context.GetServerTrailingMetadata().count("grpc-retry-pushback-ms"),
            1U);
  EXPECT_EQ(Metric(R"(spanlm_rejections_total{reason="QUEUE_FULL"})"), 1);
  LetGo();
  waiting.join();
  EXPECT_TRUE(Eventually([this] { return IsIdle(); }));
}

TEST_F(RuntimeErrorsTest, AQueueFullOfBytesRefuses) {
  engine_options_.slots = 1;
  options_.max_queue_bytes = 1 << 20;
  Start();
  HoldAStep();

  v1::ScoreResponse response;
  EXPECT_THAT(Score(ScoreOf(SomeText(2 << 20)), &response),
              Fails(StatusCode::RESOURCE_EXHAUSTED, "QUEUE_BYTES"));
  LetGo();
}

TEST_F(RuntimeErrorsTest, ADeadlineEndsACallThatWaits) {
  engine_options_.slots = 1;
  options_.max_step_bytes = 64;
  Start();
  HoldAStep(SomeText(1 << 20));  // many steps in the only slot
  for (const int milliseconds : {0, 20, 500}) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() +
                         std::chrono::milliseconds(milliseconds));
    v1::ScoreResponse response;
    EXPECT_EQ(
        scoring()->Score(&context, ScoreOf("late"), &response).error_code(),
        StatusCode::DEADLINE_EXCEEDED);
  }
  // All end while the holder goes on: the server's deadlines are a little after
  // the client's, and a reset may come before a call's message.
  EXPECT_TRUE(Eventually([this] {
    engine_->Release(1);
    return MetricSum("spanlm_requests_waiting") == 0;
  }));
  EXPECT_EQ(MetricSum("spanlm_requests_running"), 1);
  EXPECT_GE(Requests("score", "deadline"), 1);
  LetGo();
  EXPECT_TRUE(Eventually([this] { return IsIdle(); }));
  EXPECT_EQ(Metric(R"(spanlm_request_queue_seconds_count{kind="score",)"
                   R"(model="fake"})"),
            1);  // the others never left the queue
}

TEST_F(RuntimeErrorsTest, ADeadlineEndsACallThatRuns) {
  Start();
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() +
                       std::chrono::milliseconds(200));
  v1::GenerateStreamRequest request;
  request.set_prompt("abc");
  // Without the deadline this would go on for minutes.
  request.mutable_stop()->set_max_bytes(options_.limits.max_generated_bytes);
  const auto reader = generation()->GenerateStream(&context, request);
  v1::GenerateStreamResponse message;
  while (reader->Read(&message)) {
  }

  EXPECT_EQ(reader->Finish().error_code(), StatusCode::DEADLINE_EXCEEDED);
  EXPECT_TRUE(Eventually([this] { return IsIdle(); }));
  EXPECT_EQ(Requests("generate", "deadline"), 1);
}

TEST_F(RuntimeErrorsTest, AClientThatStallsIsToldSo) {
  options_.stall_limit = absl::Milliseconds(1);
  Start();
  grpc::ClientContext context;
  const auto stream = scoring()->ScoreStream(&context);
  v1::ScoreStreamRequest request;
  request.mutable_open();
  ASSERT_TRUE(stream->Write(request));
  v1::ScoreStreamResponse response;
  while (stream->Read(&response)) {
  }

  const grpc::Status status = stream->Finish();
  EXPECT_THAT(status, Fails(StatusCode::RESOURCE_EXHAUSTED, "STREAM_LIMIT"));
  EXPECT_GT(DetailsOf(status).retry.retry_delay().nanos(), 0);
  EXPECT_EQ(Metric(R"(spanlm_rejections_total{reason="STREAM_LIMIT"})"), 1);
}

TEST_F(RuntimeErrorsTest, AQueueFullOfInlineDataRefuses) {
  options_.max_queue_bytes = 1 << 20;
  Start();
  v1::EvaluateRequest request;
  request.set_data(SomeText(2 << 20));
  v1::EvaluationProgress progress;
  v1::EvaluationResult result;

  EXPECT_THAT(Evaluate(request, &progress, &result),
              Fails(StatusCode::RESOURCE_EXHAUSTED, "QUEUE_BYTES"));
}

TEST_F(RuntimeErrorsTest, AnInternalErrorHidesItsText) {
  Start();
  engine_->SetHook(
      [](int64_t) { return absl::InvalidArgumentError("at secret/place.cc"); });
  v1::ScoreResponse response;

  const grpc::Status status = Score(ScoreOf("abc"), &response);

  EXPECT_THAT(status, Fails(StatusCode::INTERNAL, "INVARIANT"));
  EXPECT_THAT(status.error_message(),
              testing::Not(testing::HasSubstr("secret")));
  EXPECT_EQ(DetailsOf(status).info.metadata().count("request_id"), 1U);
  EXPECT_TRUE(Eventually([this] { return IsIdle(); }));
}

TEST_F(RuntimeErrorsTest, ANanIsAnErrorAndCounted) {
  Start();
  engine_->SetHook([](int64_t) {
    return absl::DataLossError("logit 3 is not a finite number");
  });

  v1::ScoreResponse score;
  EXPECT_THAT(Score(ScoreOf("abc"), &score),
              Fails(StatusCode::INTERNAL, "NAN"));
  v1::GenerateResponse generate;
  EXPECT_THAT(Generate(GenerateOf("abc", 5), &generate),
              Fails(StatusCode::INTERNAL, "NAN"));
  EXPECT_EQ(Metric(R"(spanlm_logits_nan_total{model="fake"})"), 2);
}

TEST(LoadingTest, ACallToAModelThatLoadsHearsSo) {
  Listener::PrepareProcess();
  Metrics metrics({"", "", "", ""});
  const ModelRegistry registry({"a"}, "a", &metrics);
  ScoringService service(&registry, RpcLimits());
  ListenerOptions options;
  options.address = "127.0.0.1:0";
  options.services = {&service};
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Listener> listener,
                       Listener::Start(options));
  const auto stub = v1::ScoringService::NewStub(grpc::CreateChannel(
      listener->address(), grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  v1::ScoreResponse response;

  EXPECT_THAT(stub->Score(&context, ScoreOf("abc"), &response),
              Fails(StatusCode::UNAVAILABLE, "LOADING"));
  EXPECT_THAT(
      metrics.Text(),
      testing::HasSubstr(R"(spanlm_rejections_total{reason="LOADING"} 1)"));
}

TEST(ModelRegistryTest, AKnownModelIsLoadingUntilItIsAdded) {
  Metrics metrics({"", "", "", ""});
  ModelRegistry registry({"a", "b"}, "a", &metrics);

  EXPECT_THAT(registry.Find("models/b").status(),
              StatusIs(absl::StatusCode::kUnavailable, "loading"));
  registry.Add("b", ServedModel());
  EXPECT_OK(registry.Find("b"));
  EXPECT_THAT(registry.Find("").status(),
              StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(registry.Find("c").status(),
              StatusIs(absl::StatusCode::kNotFound, "\"c\""));
  ASSERT_EQ(registry.List().size(), 2U);
  EXPECT_EQ(registry.List()[0].state(), v1::Model::STATE_LOADING);
}

}  // namespace
}  // namespace spanlm
