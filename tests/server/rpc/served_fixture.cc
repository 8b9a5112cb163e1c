// SPDX-License-Identifier: Apache-2.0
#include "tests/server/rpc/served_fixture.h"

#include <grpcpp/create_channel.h>

#include <chrono>
#include <sstream>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"

namespace spanlm {

ErrorDetails DetailsOf(const google::rpc::Status& status) {
  ErrorDetails details;
  for (const google::protobuf::Any& any : status.details()) {
    if (any.UnpackTo(&details.info)) ++details.info_count;
    any.UnpackTo(&details.bad_request);
    any.UnpackTo(&details.retry);
  }
  return details;
}

ErrorDetails DetailsOf(const grpc::Status& status) {
  google::rpc::Status rpc_status;
  rpc_status.ParseFromString(status.error_details());
  return DetailsOf(rpc_status);
}

bool Eventually(const std::function<bool()>& condition) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::yield();
  }
  return true;
}

ServedTest::ServedTest() {
  options_.models = {{"fake", "unused"}};
  options_.listen = "127.0.0.1:0";
  options_.admin_listen = "127.0.0.1:0";
  options_.health_listen = "127.0.0.1:0";
  options_.metrics_listen = "127.0.0.1:0";
  options_.drain_delay = absl::ZeroDuration();
}

ServedTest::~ServedTest() {
  if (engine_ != nullptr) engine_->ReleaseAll();
}

void ServedTest::Start() {
  StartWith([this](const std::string& /*dir*/, const EngineOptions& options)
                -> absl::StatusOr<std::unique_ptr<Engine>> {
    FakeEngineOptions fake = engine_options_;
    fake.max_step_symbols = options.max_step_symbols;
    auto engine = std::make_unique<FakeEngine>(fake);
    if (engine_ == nullptr) engine_ = engine.get();
    return engine;
  });
}

void ServedTest::StartWith(const EngineFactory& factory) {
  absl::StatusOr<std::unique_ptr<Server>> server =
      Server::Start(options_, factory);
  ASSERT_TRUE(server.ok()) << server.status();
  server_ = *std::move(server);
  channel_ = grpc::CreateChannel(server_->address(),
                                 grpc::InsecureChannelCredentials());
  scoring_ = v1::ScoringService::NewStub(channel_);
  generation_ = v1::GenerationService::NewStub(channel_);
  evaluation_ = v1::EvaluationService::NewStub(channel_);
  models_ = v1::ModelService::NewStub(channel_);
}

double ServedTest::Metric(const std::string& sample) const {
  std::istringstream lines(server_->metrics().Text());
  std::string line;
  while (std::getline(lines, line)) {
    double value = 0;
    if (absl::StartsWith(line, sample + " ") &&
        absl::SimpleAtod(line.substr(sample.size() + 1), &value)) {
      return value;
    }
  }
  return -1;
}

double ServedTest::MetricSum(const std::string& name) const {
  std::istringstream lines(server_->metrics().Text());
  std::string line;
  double sum = 0;
  while (std::getline(lines, line)) {
    double value = 0;
    const size_t space = line.rfind(' ');
    if (space != std::string::npos && absl::StartsWith(line, name + "{") &&
        absl::SimpleAtod(line.substr(space + 1), &value)) {
      sum += value;
    }
  }
  return sum;
}

bool ServedTest::IsIdle() const {
  return MetricSum("spanlm_requests_running") == 0 &&
         MetricSum("spanlm_requests_waiting") == 0 &&
         MetricSum("spanlm_queue_bytes") == 0 &&
         MetricSum("grpc_server_started_total") ==
             MetricSum("grpc_server_handled_total") &&
         MetricSum("spanlm_cache_usage_ratio") == 0;
}

grpc::Status ServedTest::Score(const v1::ScoreRequest& request,
                               v1::ScoreResponse* response) {
  grpc::ClientContext context;
  return scoring_->Score(&context, request, response);
}

grpc::Status ServedTest::Generate(const v1::GenerateRequest& request,
                                  v1::GenerateResponse* response) {
  grpc::ClientContext context;
  return generation_->Generate(&context, request, response);
}

grpc::Status ServedTest::GenerateStream(
    const v1::GenerateStreamRequest& request,
    v1::GenerateStreamResponse* joined) {
  grpc::ClientContext context;
  const auto reader = generation_->GenerateStream(&context, request);
  v1::GenerateStreamResponse message;
  while (reader->Read(&message)) {
    const std::string data = joined->data() + message.data();
    message.clear_data();
    joined->MergeFrom(message);
    joined->set_data(data);
  }
  return reader->Finish();
}

grpc::Status ServedTest::Evaluate(const v1::EvaluateRequest& request,
                                  v1::EvaluationProgress* progress,
                                  v1::EvaluationResult* result) {
  grpc::ClientContext context;
  const auto reader = evaluation_->Evaluate(&context, request);
  v1::EvaluateResponse message;
  while (reader->Read(&message)) {
    if (message.has_progress()) *progress = message.progress();
    if (message.has_result()) *result = message.result();
  }
  return reader->Finish();
}

v1::ScoreRequest ScoreOf(const std::string& text) {
  v1::ScoreRequest request;
  request.add_items()->set_continuation(text);
  return request;
}

v1::GenerateRequest GenerateOf(const std::string& prompt, int64_t max_bytes) {
  v1::GenerateRequest request;
  request.set_prompt(prompt);
  request.mutable_stop()->set_max_bytes(max_bytes);
  request.mutable_sampling()->set_seed(7);
  return request;
}

std::string SomeText(size_t size) {
  std::string text;
  for (size_t i = 0; i < size; ++i) {
    text.push_back(static_cast<char>("the quick\nbrown fox "[i * i % 20]));
  }
  return text;
}

}  // namespace spanlm
