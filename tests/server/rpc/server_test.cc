// SPDX-License-Identifier: Apache-2.0
// The life of a server: start, health, drain.
#include "server/server.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>

#include <atomic>
#include <thread>

#include "nlohmann/json.hpp"
#include "tests/server/rpc/health_probe.h"
#include "tests/server/rpc/served_fixture.h"
#include "tests/support/status_matchers.h"

namespace spanlm {
namespace {

using grpc::StatusCode;

class ServerTest : public ServedTest {
 protected:
  std::shared_ptr<grpc::Channel> ChannelTo(const std::string& address) {
    return grpc::CreateChannel(address, grpc::InsecureChannelCredentials());
  }
  static grpc::ChannelArguments OwnConnection() {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    return arguments;
  }
  std::string HealthOf(const std::string& service) {
    return Probe(ChannelTo(server_->health_address()), service);
  }
};

TEST_F(ServerTest, SaysWhereItListens) {
  Start();

  const auto line = nlohmann::json::parse(server_->ServingLine());

  EXPECT_EQ(line["event"], "serving");
  EXPECT_EQ(line["listen"], server_->address());
  EXPECT_EQ(line["models"], nlohmann::json({"fake"}));
  EXPECT_NE(line["listen"], line["health"]);
}

TEST_F(ServerTest, AnswersHealthOnItsTwoListeners) {
  Start();
  for (const std::string service : {"", "ready", "live", "fake"}) {
    EXPECT_EQ(HealthOf(service), "SERVING") << service;
    EXPECT_EQ(Probe(channel_, service), "SERVING") << service;
  }
  EXPECT_EQ(HealthOf("other"), "NOT_FOUND");
  EXPECT_EQ(Probe(ChannelTo(server_->admin_address()), ""), "UNIMPLEMENTED");
}

TEST_F(ServerTest, TheHealthListenerAnswersNothingElse) {
  Start();
  const auto stub =
      v1::ScoringService::NewStub(ChannelTo(server_->health_address()));
  grpc::ClientContext context;
  v1::ScoreResponse response;

  EXPECT_EQ(stub->Score(&context, ScoreOf("a"), &response).error_code(),
            StatusCode::UNIMPLEMENTED);
}

TEST_F(ServerTest, AStepThatHangsMakesItNotLive) {
  options_.step_deadline = absl::Milliseconds(1);
  Start();
  engine_->Hold();
  std::thread caller([this] {
    v1::ScoreResponse response;
    EXPECT_TRUE(Score(ScoreOf("abc"), &response).ok());
  });
  engine_->WaitUntilHeld();

  EXPECT_TRUE(Eventually([this] {
    server_->RefreshHealth();
    return HealthOf("live") == "NOT_SERVING";
  }));
  EXPECT_EQ(HealthOf("ready"), "NOT_SERVING");

  engine_->ReleaseAll();
  caller.join();
  server_->RefreshHealth();
  EXPECT_EQ(HealthOf("live"), "SERVING");
}

TEST_F(ServerTest, AnEngineThatFailsMakesItNotLive) {
  Start();
  EXPECT_FALSE(server_->HasFailed());
  engine_->SetHook(
      [](int64_t) { return absl::InternalError("the device is gone"); });
  v1::ScoreResponse response;

  EXPECT_THAT(Score(ScoreOf("abc"), &response),
              Fails(StatusCode::UNAVAILABLE, "ENGINE_FAILED"));
  EXPECT_TRUE(server_->HasFailed());
  server_->RefreshHealth();
  EXPECT_EQ(HealthOf("live"), "NOT_SERVING");
  EXPECT_EQ(HealthOf("fake"), "NOT_SERVING");
}

TEST_F(ServerTest, AStepThatHangsWhileItDrainsMakesItNotLive) {
  options_.step_deadline = absl::Milliseconds(1);
  Start();
  engine_->Hold();
  std::thread caller([this] {
    v1::ScoreResponse response;
    EXPECT_TRUE(Score(ScoreOf("abc"), &response).ok());
  });
  engine_->WaitUntilHeld();

  bool was_live = true;
  int pauses = 0;
  server_->Drain([&](absl::Duration) {
    was_live = was_live && HealthOf("live") == "SERVING";
    if (!was_live || ++pauses == 1000) engine_->ReleaseAll();
    return false;
  });
  caller.join();

  EXPECT_FALSE(was_live);
}

TEST_F(ServerTest, ExposesWhatItRunsOn) {
  Start();
  EXPECT_EQ(Metric(R"(spanlm_model_state{model="fake",state="ready"})"), 1);
  EXPECT_EQ(Metric(R"(spanlm_model_state{model="fake",state="loading"})"), 0);
  EXPECT_EQ(Metric(R"(spanlm_device_memory_bytes{device="cpu",kind="state"})"),
            4 * 1024);
  EXPECT_EQ(MetricSum("spanlm_attention_span_bytes"), 0);
  EXPECT_THAT(server_->metrics().Text(),
              testing::Not(testing::HasSubstr(R"(revision="")")));
}

TEST_F(ServerTest, ExposesSpansWhenAsked) {
  options_.span_metrics = true;
  StartWith([](const std::string& /*dir*/, const EngineOptions& options)
                -> absl::StatusOr<std::unique_ptr<Engine>> {
    FakeEngineOptions fake;
    fake.max_step_symbols = options.max_step_symbols;
    fake.spans = {{12.5F, 64}};
    return std::make_unique<FakeEngine>(fake);
  });

  EXPECT_EQ(
      Metric(R"(spanlm_attention_span_bytes{head="1",layer="0",model="fake"})"),
      64);
}

TEST_F(ServerTest, DescribesItsModels) {
  options_.models = {{"fake", "unused"}, {"other", "unused"}};
  Start();
  grpc::ClientContext context;
  v1::GetModelRequest request;
  request.set_name("models/fake");
  v1::GetModelResponse response;
  ASSERT_TRUE(models()->GetModel(&context, request, &response).ok());

  const v1::Model& model = response.model();
  EXPECT_EQ(model.name(), "models/fake");
  EXPECT_EQ(model.version(), "models/fake/versions/1");
  EXPECT_EQ(model.digest(), "fake");
  EXPECT_EQ(model.state(), v1::Model::STATE_READY);
  EXPECT_TRUE(model.is_default());
  EXPECT_EQ(model.session_state_bytes(), 1024);
  EXPECT_EQ(model.session_capacity(), 4);
  EXPECT_EQ(model.receptive_field_bytes(), FakeEngine::kContext);
  EXPECT_EQ(model.symbol_count(), 256);

  grpc::ClientContext list_context;
  v1::ListModelsResponse list;
  ASSERT_TRUE(models()->ListModels(&list_context, {}, &list).ok());
  ASSERT_EQ(list.models_size(), 2);
  EXPECT_FALSE(list.models(1).is_default());
}

TEST_F(ServerTest, DrainLetsRunningCallsFinishAndRefusesNewOnes) {
  Start();
  engine_->Hold();
  std::thread running([this] {
    v1::ScoreResponse response;
    EXPECT_TRUE(Score(ScoreOf("running"), &response).ok());
  });
  engine_->WaitUntilHeld();
  grpc::Status batch_status;
  v1::EvaluationProgress progress;
  std::thread batch([&] {
    v1::EvaluateRequest request;
    request.set_data(SomeText(100000));
    v1::EvaluationResult result;
    batch_status = Evaluate(request, &progress, &result);
  });
  ASSERT_TRUE(Eventually(
      [this] { return MetricSum("grpc_server_started_total") >= 2; }));

  std::atomic<int> pauses{0};
  grpc::Status refused;
  server_->Drain([&](absl::Duration) {
    if (pauses++ == 1) engine_->ReleaseAll();
    std::this_thread::yield();
    return false;
  });
  running.join();
  batch.join();

  EXPECT_THAT(batch_status, Fails(StatusCode::UNAVAILABLE, "DRAINING"));
  EXPECT_FALSE(progress.resume_token().empty());
  EXPECT_EQ(HealthOf("ready"), "NOT_SERVING");
  v1::ScoreResponse response;
  EXPECT_EQ(Score(ScoreOf("new"), &response).error_code(),
            StatusCode::UNAVAILABLE);
}

TEST_F(ServerTest, WhileItDrainsNewCallsHearWhy) {
  Start();
  engine_->Hold();
  std::thread running([this] {
    v1::ScoreResponse response;
    EXPECT_TRUE(Score(ScoreOf("running"), &response).ok());
  });
  engine_->WaitUntilHeld();
  std::atomic<int> pauses{0};
  std::thread drain([&] {
    server_->Drain([&](absl::Duration) {
      ++pauses;
      std::this_thread::yield();
      return false;
    });
  });
  // The first pause is the delay's, in which calls are still served.
  ASSERT_TRUE(Eventually([&] { return pauses > 1; }));

  v1::GenerateResponse response;
  EXPECT_THAT(Generate(GenerateOf("a", 1), &response),
              Fails(StatusCode::UNAVAILABLE, "DRAINING"));
  // Also who comes only now.
  const auto late = v1::ScoringService::NewStub(grpc::CreateCustomChannel(
      server_->address(), grpc::InsecureChannelCredentials(), OwnConnection()));
  grpc::ClientContext context;
  v1::ScoreResponse score;
  EXPECT_THAT(late->Score(&context, ScoreOf("b"), &score),
              Fails(StatusCode::UNAVAILABLE, "DRAINING"));
  engine_->ReleaseAll();
  running.join();
  drain.join();
}

TEST_F(ServerTest, ASecondSignalEndsWhatStillRuns) {
  Start();
  engine_->Hold();
  grpc::Status status;
  std::thread running([&] {
    v1::GenerateResponse response;
    status = Generate(GenerateOf("abc", 1 << 20), &response);
  });
  engine_->WaitUntilHeld();
  engine_->ReleaseAll();

  server_->Drain([](absl::Duration) { return true; });
  running.join();

  EXPECT_THAT(status, Fails(StatusCode::CANCELLED, "ADMIN"));
}

TEST_F(ServerTest, RefusesAnAddressInUse) {
  Start();
  ServerOptions second = options_;
  second.listen = server_->address();

  const auto result = Server::Start(
      second,
      [](const std::string&,
         const EngineOptions&) -> absl::StatusOr<std::unique_ptr<Engine>> {
        return std::make_unique<FakeEngine>();
      });

  EXPECT_THAT(result.status(),
              StatusIs(absl::StatusCode::kAlreadyExists, "cannot listen on"));
}

TEST_F(ServerTest, NamesTheModelThatDoesNotLoad) {
  const auto result = Server::Start(
      options_,
      [](const std::string&,
         const EngineOptions&) -> absl::StatusOr<std::unique_ptr<Engine>> {
        return absl::DataLossError("model.safetensors: truncated");
      });

  EXPECT_THAT(result.status(),
              StatusIs(absl::StatusCode::kDataLoss,
                       "model fake: model.safetensors: truncated"));
}

TEST_F(ServerTest, AnEngineThatFailsItsCheckDoesNotServe) {
  const auto result = Server::Start(
      options_,
      [](const std::string&, const EngineOptions& options)
          -> absl::StatusOr<std::unique_ptr<Engine>> {
        FakeEngineOptions fake;
        fake.max_step_symbols = options.max_step_symbols;
        auto engine = std::make_unique<FakeEngine>(fake);
        engine->SetHook([](int64_t) { return absl::InternalError("NaN"); });
        return engine;
      });

  EXPECT_THAT(result.status(), StatusIs(absl::StatusCode::kInternal, "NaN"));
}

}  // namespace
}  // namespace spanlm
