// SPDX-License-Identifier: Apache-2.0
// A whole server, called through real channels; over a fake engine, mostly.
#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "gmock/gmock.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "gtest/gtest.h"
#include "server/server.h"
#include "spanlm/v1/evaluation.grpc.pb.h"
#include "spanlm/v1/generation.grpc.pb.h"
#include "spanlm/v1/model.grpc.pb.h"
#include "spanlm/v1/scoring.grpc.pb.h"
#include "tests/fakes/fake_engine.h"

namespace spanlm {

// The details that a status carries; default values where it has none.
struct ErrorDetails {
  google::rpc::ErrorInfo info;
  int info_count = 0;
  google::rpc::BadRequest bad_request;
  google::rpc::RetryInfo retry;
};
ErrorDetails DetailsOf(const google::rpc::Status& status);
ErrorDetails DetailsOf(const grpc::Status& status);

// Matches a grpc::Status of `code` with exactly one ErrorInfo of our domain
// and `reason`.
MATCHER_P2(Fails, code, reason, "") {
  const ErrorDetails details = DetailsOf(arg);
  *result_listener << "which is " << arg.error_code() << " "
                   << details.info.reason() << ": " << arg.error_message();
  return arg.error_code() == code && details.info_count == 1 &&
         details.info.domain() == "spanlm" && details.info.reason() == reason;
}
// As Fails(INVALID_ARGUMENT, reason), with a violation of just `field`.
MATCHER_P2(FailsField, field, reason, "") {
  const ErrorDetails details = DetailsOf(arg);
  *result_listener << "which is " << arg.error_code() << " "
                   << details.info.reason() << ": " << arg.error_message();
  return arg.error_code() == grpc::StatusCode::INVALID_ARGUMENT &&
         details.info_count == 1 && details.info.reason() == reason &&
         details.bad_request.field_violations_size() == 1 &&
         details.bad_request.field_violations(0).field() == field;
}

// Runs until `condition` holds; false if it never does (after half a minute).
bool Eventually(const std::function<bool()>& condition);

class ServedTest : public testing::Test {
 protected:
  ServedTest();
  // What still runs when a test ends is cancelled.
  ~ServedTest() override;

  // Starts the server with options_ and a FakeEngine of engine_options_ for
  // each model. Call it first.
  void Start();
  // The same with other engines; engine_ stays null.
  void StartWith(const EngineFactory& factory);

  // The value of a sample such as spanlm_queue_bytes{model="fake"}; −1: there
  // is none.
  double Metric(const std::string& sample) const;
  // The sum over all samples of a metric.
  double MetricSum(const std::string& name) const;
  // Whether nothing waits or runs and all slots are free.
  bool IsIdle() const;

  v1::ScoringService::Stub* scoring() { return scoring_.get(); }
  v1::GenerationService::Stub* generation() { return generation_.get(); }
  v1::EvaluationService::Stub* evaluation() { return evaluation_.get(); }
  v1::ModelService::Stub* models() { return models_.get(); }

  // Calls Score with a context of its own.
  grpc::Status Score(const v1::ScoreRequest& request,
                     v1::ScoreResponse* response);
  grpc::Status Generate(const v1::GenerateRequest& request,
                        v1::GenerateResponse* response);
  // All messages, joined: data, scores, start and finish.
  grpc::Status GenerateStream(const v1::GenerateStreamRequest& request,
                              v1::GenerateStreamResponse* joined);
  // The last progress, and the result if there is one.
  grpc::Status Evaluate(const v1::EvaluateRequest& request,
                        v1::EvaluationProgress* progress,
                        v1::EvaluationResult* result);

  ServerOptions options_;
  FakeEngineOptions engine_options_;
  std::unique_ptr<Server> server_;
  FakeEngine* engine_ = nullptr;  // of the first model
  std::shared_ptr<grpc::Channel> channel_;

 private:
  std::unique_ptr<v1::ScoringService::Stub> scoring_;
  std::unique_ptr<v1::GenerationService::Stub> generation_;
  std::unique_ptr<v1::EvaluationService::Stub> evaluation_;
  std::unique_ptr<v1::ModelService::Stub> models_;
};

// A request for one item without context.
v1::ScoreRequest ScoreOf(const std::string& text);
v1::GenerateRequest GenerateOf(const std::string& prompt, int64_t max_bytes);
// `size` bytes that look like text.
std::string SomeText(size_t size);

}  // namespace spanlm
