// SPDX-License-Identifier: Apache-2.0
// A ScoreStream under way: a document in, scores out.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>

#include "server/jobs/score_stream_job.h"
#include "server/jobs/text_inbox.h"
#include "server/rpc/model_registry.h"
#include "server/rpc/stream_writer.h"
#include "server/server_options.h"
#include "spanlm/v1/scoring.grpc.pb.h"

namespace spanlm {

// Reads on while the text not yet scored is below a mark, and pauses the job
// while the answers not yet sent are above one. Deletes itself. Thread-safe.
class ScoreStreamReactor
    : public StreamWriter<grpc::ServerBidiReactor<v1::ScoreStreamRequest,
                                                  v1::ScoreStreamResponse>,
                          v1::ScoreStreamResponse>,
      public ScoreStreamSink {
 public:
  // `models` is lent.
  ScoreStreamReactor(const ModelRegistry* models, const RpcLimits& limits,
                     grpc::CallbackServerContext* context);

  void OnReadDone(bool ok) override;
  void OnCancel() override;

  void OnAnswer(ScoreStreamAnswer answer) override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnTextTaken() override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnEnd(const absl::Status& status, const RequestTiming& timing) override
      ABSL_LOCKS_EXCLUDED(mutex_);
  bool has_room() const override ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Pending {
    v1::ScoreStreamResponse response;
    int64_t cost = 0;  // memory, bytes
  };

  void ReadNext();
  absl::Status Take(const v1::ScoreStreamRequest& request);
  absl::Status Open(const v1::ScoreStreamRequest::Open& open);
  absl::Status Append(const std::string& chunk);
  // No text follows.
  void FinishText();
  void ResumeReading() ABSL_LOCKS_EXCLUDED(mutex_);
  // Null before the first message.
  const ServedModel* Model() const ABSL_LOCKS_EXCLUDED(mutex_);
  // Ends the call; the job's end comes first where there is a job.
  void Fail(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mutex_);
  v1::ScoreStreamResponse MakeResponse(const ScoreStreamAnswer& answer) const;

  bool TakeNext(v1::ScoreStreamResponse* response) override
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void OnWritten() override ABSL_LOCKS_EXCLUDED(mutex_);

  const ModelRegistry* const models_;
  const RpcLimits limits_;
  v1::ScoreStreamRequest request_;  // gRPC's while a read is in flight
  CancelFlag cancel_;
  TextInbox inbox_;
  // Set once, by the first message.
  std::optional<ScoreStreamOptions> options_;
  const ServedModel* model_ ABSL_GUARDED_BY(mutex_) = nullptr;

  bool has_job_ ABSL_GUARDED_BY(mutex_) = false;
  bool reads_paused_ ABSL_GUARDED_BY(mutex_) = false;
  mutable bool has_paused_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status failure_ ABSL_GUARDED_BY(mutex_);  // what the client did wrong
  std::deque<Pending> pending_ ABSL_GUARDED_BY(mutex_);
  int64_t pending_cost_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t in_flight_cost_ ABSL_GUARDED_BY(mutex_) = 0;
  std::atomic<int64_t> received_bytes_{0};  // of text
  // Scheduler's thread.
  ScoreStreamState last_state_;
  int64_t answer_bytes_ = 0;  // of messages
};

}  // namespace spanlm
