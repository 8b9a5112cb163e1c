// SPDX-License-Identifier: Apache-2.0
// A SpanLM server from C++: blocking calls that return a Status.
//
//   Client client(ClientOptions{"127.0.0.1:50051"});
//   v1::ScoreRequest request;
//   request.add_items()->set_continuation("Hello");
//   absl::StatusOr<v1::ScoreResponse> response = client.Score(request);
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "client/retry.h"
#include "grpc/health/v1/health.pb.h"
#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"
#include "spanlm/v1/evaluation.pb.h"
#include "spanlm/v1/generation.pb.h"
#include "spanlm/v1/model.pb.h"
#include "spanlm/v1/scoring.pb.h"

namespace spanlm {

struct ClientOptions {
  // HOST:PORT, or a gRPC target such as dns:///name:port, all of whose
  // addresses then serve in turn.
  std::string address = "127.0.0.1:50051";
  // Of a whole call, its retries included. DeadlineExceeded after it.
  absl::Duration timeout = absl::InfiniteDuration();
  // Largest message in either direction.
  int max_message_bytes = 16 << 20;
  RetryOptions retry;
};

// Calls one server, or the servers behind one name. Every error has the
// server's code, with its reason first in the message; connections that break
// and servers that drain or start are UNAVAILABLE and retried. Thread-safe.
class Client {
 public:
  // The next bytes of a document, at most kMaxChunkBytes; empty at its end.
  using ChunkReader = std::function<absl::StatusOr<std::string>()>;
  // Called for every message of a stream, in order, on the calling thread
  // unless said otherwise. An error ends the call and is its result.
  template <typename Message>
  using Callback = std::function<absl::Status(const Message&)>;

  static constexpr int64_t kMaxChunkBytes = int64_t{1} << 20;

  // Connects at the first call.
  explicit Client(ClientOptions options);

  absl::StatusOr<v1::ScoreResponse> Score(const v1::ScoreRequest& request);

  // Scores one document of any length and returns the last answer, with its
  // summary. A broken stream goes on from the server's last resume token, so
  // at most the bytes after it are kept in memory. `on_answer` runs on a
  // thread of the call's own.
  absl::StatusOr<v1::ScoreStreamResponse> ScoreStream(
      const v1::ScoreStreamRequest::Open& open, const ChunkReader& next_chunk,
      const Callback<v1::ScoreStreamResponse>& on_answer);

  // Retried only before the first message.
  absl::Status GenerateStream(
      const v1::GenerateStreamRequest& request,
      const Callback<v1::GenerateStreamResponse>& on_message);

  // A broken stream goes on from the last progress' resume token.
  absl::StatusOr<v1::EvaluationResult> Evaluate(
      v1::EvaluateRequest request,
      const Callback<v1::EvaluationProgress>& on_progress);

  // All pages.
  absl::StatusOr<std::vector<v1::Dataset>> ListDatasets();
  absl::StatusOr<std::vector<v1::Model>> ListModels();
  absl::StatusOr<v1::Model> GetModel(absl::string_view name);

  // `service` as in grpc.health.v1: empty for the server, live, ready or a
  // model's name. NotFound for one that it does not know.
  absl::StatusOr<grpc::health::v1::HealthCheckResponse::ServingStatus> Health(
      absl::string_view service);

 private:
  template <typename Response, typename Call>
  absl::StatusOr<Response> Unary(const Call& call);
  absl::Time Deadline() const;

  const ClientOptions options_;
  const std::shared_ptr<grpc::Channel> channel_;
};

// Gives `context` the deadline, if there is one.
void SetDeadline(absl::Time deadline, grpc::ClientContext* context);

}  // namespace spanlm
