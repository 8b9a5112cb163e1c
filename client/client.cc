// SPDX-License-Identifier: Apache-2.0
#include "client/client.h"

#include <utility>

#include "base/status_macros.h"
#include "client/grpc_status.h"
#include "client/score_stream.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"
#include "grpcpp/support/channel_arguments.h"
#include "spanlm/v1/evaluation.grpc.pb.h"
#include "spanlm/v1/generation.grpc.pb.h"
#include "spanlm/v1/model.grpc.pb.h"
#include "spanlm/v1/scoring.grpc.pb.h"

namespace spanlm {
namespace {

using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;

constexpr int kKeepaliveMilliseconds = 30'000;

std::shared_ptr<grpc::Channel> Connect(const ClientOptions& options) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(options.max_message_bytes);
  arguments.SetMaxSendMessageSize(options.max_message_bytes);
  arguments.SetLoadBalancingPolicyName("round_robin");
  // A dead peer ends a call without a deadline, too.
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMilliseconds);
  // The channel's own wait between connections must not outlast our retries.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 5'000);
  return grpc::CreateCustomChannel(
      options.address, grpc::InsecureChannelCredentials(), arguments);
}

// Reads a stream to its end. An error of `on_message` cancels the call and
// ends up in `callback_status`.
template <typename Message, typename Reader, typename OnMessage>
grpc::Status Drain(Reader* reader, grpc::ClientContext* context,
                   const OnMessage& on_message, absl::Status* callback_status) {
  Message message;
  while (callback_status->ok() && reader->Read(&message)) {
    *callback_status = on_message(message);
  }
  if (!callback_status->ok()) context->TryCancel();
  return reader->Finish();
}

}  // namespace

void SetDeadline(absl::Time deadline, grpc::ClientContext* context) {
  if (deadline == absl::InfiniteFuture()) return;
  context->set_deadline(absl::ToChronoTime(deadline));
}

Client::Client(ClientOptions options)
    : options_(std::move(options)), channel_(Connect(options_)) {}

absl::Time Client::Deadline() const { return absl::Now() + options_.timeout; }

template <typename Response, typename Call>
absl::StatusOr<Response> Client::Unary(const Call& call) {
  const absl::Time deadline = Deadline();
  Retry retry(options_.retry, deadline);
  while (true) {
    grpc::ClientContext context;
    SetDeadline(deadline, &context);
    Response response;
    const grpc::Status status = call(&context, &response);
    if (status.ok()) return response;
    if (!retry.ShouldRetry(status, context)) return FromGrpc(status);
  }
}

absl::StatusOr<v1::ScoreResponse> Client::Score(
    const v1::ScoreRequest& request) {
  const auto stub = v1::ScoringService::NewStub(channel_);
  return Unary<v1::ScoreResponse>(
      [&](grpc::ClientContext* context, v1::ScoreResponse* response) {
        return stub->Score(context, request, response);
      });
}

absl::StatusOr<v1::ScoreStreamResponse> Client::ScoreStream(
    const v1::ScoreStreamRequest::Open& open, const ChunkReader& next_chunk,
    const Callback<v1::ScoreStreamResponse>& on_answer) {
  const auto stub = v1::ScoringService::NewStub(channel_);
  const absl::Time deadline = Deadline();
  Retry retry(options_.retry, deadline);
  ScoreStreamCall call(open, next_chunk, on_answer);
  while (true) {
    grpc::ClientContext context;
    SetDeadline(deadline, &context);
    const int64_t kept_before = call.kept_position();
    const grpc::Status status = call.Attempt(stub.get(), &context);
    SPANLM_RETURN_IF_ERROR(call.local_status());
    if (status.ok()) return call.Result();
    if (call.kept_position() > kept_before) retry.Progressed();
    if (!retry.ShouldRetry(status, context)) return FromGrpc(status);
  }
}

absl::Status Client::GenerateStream(
    const v1::GenerateStreamRequest& request,
    const Callback<v1::GenerateStreamResponse>& on_message) {
  const auto stub = v1::GenerationService::NewStub(channel_);
  const absl::Time deadline = Deadline();
  Retry retry(options_.retry, deadline);
  while (true) {
    grpc::ClientContext context;
    SetDeadline(deadline, &context);
    bool begun = false;
    absl::Status callback_status;
    const auto reader = stub->GenerateStream(&context, request);
    const grpc::Status status = Drain<v1::GenerateStreamResponse>(
        reader.get(), &context,
        [&](const v1::GenerateStreamResponse& message) {
          begun = true;
          return on_message(message);
        },
        &callback_status);
    SPANLM_RETURN_IF_ERROR(callback_status);
    if (status.ok() || begun || !retry.ShouldRetry(status, context)) {
      return FromGrpc(status);
    }
  }
}

absl::StatusOr<v1::EvaluationResult> Client::Evaluate(
    v1::EvaluateRequest request,
    const Callback<v1::EvaluationProgress>& on_progress) {
  const auto stub = v1::EvaluationService::NewStub(channel_);
  const absl::Time deadline = Deadline();
  Retry retry(options_.retry, deadline);
  while (true) {
    grpc::ClientContext context;
    SetDeadline(deadline, &context);
    v1::EvaluationResult result;
    bool ended = false;
    absl::Status callback_status;
    const auto reader = stub->Evaluate(&context, request);
    int64_t scored_bytes = -1;
    const grpc::Status status = Drain<v1::EvaluateResponse>(
        reader.get(), &context,
        [&](v1::EvaluateResponse& message) {
          if (message.has_result()) {
            result.Swap(message.mutable_result());
            ended = true;
            return absl::OkStatus();
          }
          const v1::EvaluationProgress& progress = message.progress();
          if (scored_bytes >= 0 && progress.scored_bytes() > scored_bytes) {
            retry.Progressed();
          }
          scored_bytes = progress.scored_bytes();
          if (!progress.resume_token().empty()) {
            request.set_resume_token(progress.resume_token());
          }
          return on_progress(progress);
        },
        &callback_status);
    SPANLM_RETURN_IF_ERROR(callback_status);
    if (status.ok() && !ended) {
      return absl::InternalError("the evaluation ended without a result");
    }
    if (status.ok()) return result;
    if (!retry.ShouldRetry(status, context)) return FromGrpc(status);
  }
}

absl::StatusOr<std::vector<v1::Dataset>> Client::ListDatasets() {
  const auto stub = v1::EvaluationService::NewStub(channel_);
  std::vector<v1::Dataset> all;
  v1::ListDatasetsRequest request;
  do {
    SPANLM_ASSIGN_OR_RETURN(const v1::ListDatasetsResponse page,
                            Unary<v1::ListDatasetsResponse>(
                                [&](grpc::ClientContext* context,
                                    v1::ListDatasetsResponse* response) {
                                  return stub->ListDatasets(context, request,
                                                            response);
                                }));
    all.insert(all.end(), page.datasets().begin(), page.datasets().end());
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  return all;
}

absl::StatusOr<std::vector<v1::Model>> Client::ListModels() {
  const auto stub = v1::ModelService::NewStub(channel_);
  std::vector<v1::Model> all;
  v1::ListModelsRequest request;
  do {
    SPANLM_ASSIGN_OR_RETURN(
        const v1::ListModelsResponse page,
        Unary<v1::ListModelsResponse>([&](grpc::ClientContext* context,
                                          v1::ListModelsResponse* response) {
          return stub->ListModels(context, request, response);
        }));
    all.insert(all.end(), page.models().begin(), page.models().end());
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  return all;
}

absl::StatusOr<v1::Model> Client::GetModel(absl::string_view name) {
  const auto stub = v1::ModelService::NewStub(channel_);
  v1::GetModelRequest request;
  request.set_name(std::string(name));
  SPANLM_ASSIGN_OR_RETURN(
      v1::GetModelResponse response,
      Unary<v1::GetModelResponse>(
          [&](grpc::ClientContext* context, v1::GetModelResponse* answer) {
            return stub->GetModel(context, request, answer);
          }));
  return std::move(*response.mutable_model());
}

absl::StatusOr<HealthCheckResponse::ServingStatus> Client::Health(
    absl::string_view service) {
  const auto stub = grpc::health::v1::Health::NewStub(channel_);
  HealthCheckRequest request;
  request.set_service(std::string(service));
  SPANLM_ASSIGN_OR_RETURN(
      const HealthCheckResponse response,
      Unary<HealthCheckResponse>(
          [&](grpc::ClientContext* context, HealthCheckResponse* answer) {
            return stub->Check(context, request, answer);
          }));
  return response.status();
}

}  // namespace spanlm
