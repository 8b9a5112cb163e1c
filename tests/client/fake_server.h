// SPDX-License-Identifier: Apache-2.0
// A gRPC server in the test's process whose answers the test writes.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "client/client.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"
#include "spanlm/v1/evaluation.grpc.pb.h"
#include "spanlm/v1/generation.grpc.pb.h"
#include "spanlm/v1/model.grpc.pb.h"
#include "spanlm/v1/scoring.grpc.pb.h"

namespace spanlm {

// An error as SpanLM's server sends it.
inline grpc::Status ServerError(grpc::StatusCode code,
                                const std::string& reason,
                                const std::string& message,
                                const std::string& field = "") {
  google::rpc::Status details;
  details.set_code(code);
  google::rpc::ErrorInfo info;
  info.set_reason(reason);
  info.set_domain("spanlm");
  details.add_details()->PackFrom(info);
  if (!field.empty()) {
    google::rpc::BadRequest bad_request;
    auto* violation = bad_request.add_field_violations();
    violation->set_field(field);
    violation->set_description("must not be odd");
    details.add_details()->PackFrom(bad_request);
  }
  return grpc::Status(code, message, details.SerializeAsString());
}

// Each RPC is a function that a test sets; until then it is UNIMPLEMENTED.
// Handlers run on gRPC's threads.
class FakeServer final : public v1::ScoringService::Service,
                         public v1::GenerationService::Service,
                         public v1::EvaluationService::Service,
                         public v1::ModelService::Service,
                         public grpc::health::v1::Health::Service {
 public:
  using ScoreStreamPeer =
      grpc::ServerReaderWriter<v1::ScoreStreamResponse, v1::ScoreStreamRequest>;

  FakeServer() {
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                             &port);
    builder.RegisterService(static_cast<v1::ScoringService::Service*>(this));
    builder.RegisterService(static_cast<v1::GenerationService::Service*>(this));
    builder.RegisterService(static_cast<v1::EvaluationService::Service*>(this));
    builder.RegisterService(static_cast<v1::ModelService::Service*>(this));
    builder.RegisterService(
        static_cast<grpc::health::v1::Health::Service*>(this));
    server_ = builder.BuildAndStart();
    address_ = "127.0.0.1:" + std::to_string(port);
  }
  ~FakeServer() override { Stop(); }

  // Cancels all calls and waits for their handlers. For whoever dies before
  // the server and is used by a handler.
  void Stop() { server_->Shutdown(std::chrono::system_clock::now()); }

  const std::string& address() const { return address_; }

  // Retries at once, noting the waits it was asked for.
  ClientOptions Options() {
    ClientOptions options;
    options.address = address_;
    options.retry.sleep = [this](absl::Duration wait) {
      waits.push_back(wait);
    };
    return options;
  }

  std::function<grpc::Status(grpc::ServerContext*, const v1::ScoreRequest&,
                             v1::ScoreResponse*)>
      on_score;
  std::function<grpc::Status(grpc::ServerContext*, ScoreStreamPeer*)>
      on_score_stream;
  std::function<grpc::Status(const v1::GenerateStreamRequest&,
                             grpc::ServerWriter<v1::GenerateStreamResponse>*)>
      on_generate;
  std::function<grpc::Status(const v1::EvaluateRequest&,
                             grpc::ServerWriter<v1::EvaluateResponse>*)>
      on_evaluate;
  std::function<v1::ListDatasetsResponse(const v1::ListDatasetsRequest&)>
      on_list_datasets;
  std::function<v1::ListModelsResponse(const v1::ListModelsRequest&)>
      on_list_models;
  std::function<grpc::Status(const std::string&, v1::Model*)> on_get_model;
  std::function<grpc::Status(const std::string&,
                             grpc::health::v1::HealthCheckResponse*)>
      on_check;
  std::vector<absl::Duration> waits;

 private:
  grpc::Status Score(grpc::ServerContext* context,
                     const v1::ScoreRequest* request,
                     v1::ScoreResponse* response) override {
    return on_score ? on_score(context, *request, response) : Unset();
  }
  grpc::Status ScoreStream(grpc::ServerContext* context,
                           ScoreStreamPeer* stream) override {
    return on_score_stream ? on_score_stream(context, stream) : Unset();
  }
  grpc::Status GenerateStream(
      grpc::ServerContext*, const v1::GenerateStreamRequest* request,
      grpc::ServerWriter<v1::GenerateStreamResponse>* writer) override {
    return on_generate ? on_generate(*request, writer) : Unset();
  }
  grpc::Status Evaluate(
      grpc::ServerContext*, const v1::EvaluateRequest* request,
      grpc::ServerWriter<v1::EvaluateResponse>* writer) override {
    return on_evaluate ? on_evaluate(*request, writer) : Unset();
  }
  grpc::Status ListDatasets(grpc::ServerContext*,
                            const v1::ListDatasetsRequest* request,
                            v1::ListDatasetsResponse* response) override {
    if (!on_list_datasets) return Unset();
    *response = on_list_datasets(*request);
    return grpc::Status::OK;
  }
  grpc::Status ListModels(grpc::ServerContext*,
                          const v1::ListModelsRequest* request,
                          v1::ListModelsResponse* response) override {
    if (!on_list_models) return Unset();
    *response = on_list_models(*request);
    return grpc::Status::OK;
  }
  grpc::Status GetModel(grpc::ServerContext*,
                        const v1::GetModelRequest* request,
                        v1::GetModelResponse* response) override {
    return on_get_model
               ? on_get_model(request->name(), response->mutable_model())
               : Unset();
  }
  grpc::Status Check(grpc::ServerContext*,
                     const grpc::health::v1::HealthCheckRequest* request,
                     grpc::health::v1::HealthCheckResponse* response) override {
    return on_check ? on_check(request->service(), response) : Unset();
  }

  static grpc::Status Unset() {
    return grpc::Status(grpc::UNIMPLEMENTED, "the test set no handler");
  }

  std::string address_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace spanlm
