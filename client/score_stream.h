// SPDX-License-Identifier: Apache-2.0
// One document over as many ScoreStream calls as it takes.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/mutex.h"
#include "grpcpp/client_context.h"
#include "grpcpp/support/status.h"
#include "grpcpp/support/sync_stream.h"
#include "spanlm/v1/scoring.grpc.pb.h"

namespace spanlm {

// Keeps the bytes that follow the server's last resume token, so that a broken
// stream can go on where it stood, and hands each answer on exactly once: those
// after the last token wait until the next one, or the end, makes them final.
// One thread at a time; an attempt reads answers on a second thread.
class ScoreStreamCall {
 public:
  using Stream = grpc::ClientReaderWriterInterface<v1::ScoreStreamRequest,
                                                   v1::ScoreStreamResponse>;
  using ChunkReader = std::function<absl::StatusOr<std::string>()>;
  using OnAnswer = std::function<absl::Status(const v1::ScoreStreamResponse&)>;

  // All arguments outlive this.
  ScoreStreamCall(const v1::ScoreStreamRequest::Open& open,
                  const ChunkReader& next_chunk, const OnAnswer& on_answer);

  // One call, from the last token on; returns its status. If local_status()
  // is not OK, that is the result instead: the reader's or callback's error.
  grpc::Status Attempt(v1::ScoringService::StubInterface* stub,
                       grpc::ClientContext* context);

  const absl::Status& local_status() const { return local_status_; }
  // Bytes of the document that no later attempt has to send again.
  int64_t kept_position();
  // The last answer, after an attempt that ended OK. Internal if it has no
  // summary: the server broke its promise.
  absl::StatusOr<v1::ScoreStreamResponse> Result() const;

 private:
  // Writes the window, then the rest of the document, then the end; stops
  // where the stream breaks.
  absl::Status WriteAll(Stream* stream);
  bool WriteChunk(Stream* stream, std::string chunk);
  void ReadAll(Stream* stream, grpc::ClientContext* context);
  absl::Status TakeAnswer(v1::ScoreStreamResponse answer);
  absl::Status HandOn();
  // Waits until the window has room for another chunk; false: the stream
  // broke.
  bool WaitForRoom();

  const v1::ScoreStreamRequest::Open& open_;
  const ChunkReader& next_chunk_;
  const OnAnswer& on_answer_;

  Mutex mutex_;
  CondVar changed_;
  // The bytes sent and not kept, from window_begin_ of the document on.
  std::string window_ ABSL_GUARDED_BY(mutex_);
  int64_t window_begin_ ABSL_GUARDED_BY(mutex_) = 0;
  std::string token_ ABSL_GUARDED_BY(mutex_);
  int64_t answered_ ABSL_GUARDED_BY(mutex_) = 0;  // position of the last answer
  bool reading_ ABSL_GUARDED_BY(mutex_) = false;

  bool document_ended_ = false;
  std::vector<v1::ScoreStreamResponse> waiting_;  // not final yet
  v1::ScoreStreamResponse last_;
  absl::Status local_status_;
};

}  // namespace spanlm
