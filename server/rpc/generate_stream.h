// SPDX-License-Identifier: Apache-2.0
// A GenerateStream under way: bytes out as they come.
#pragma once

#include <cstdint>

#include "absl/time/time.h"
#include "server/jobs/generate_job.h"
#include "server/rpc/model_registry.h"
#include "server/rpc/parse.h"
#include "server/rpc/stream_writer.h"
#include "server/server_options.h"
#include "spanlm/v1/generation.grpc.pb.h"

namespace spanlm {

// Gathers bytes while a message is on its way, up to a mark above which the
// job pauses. Deletes itself. Thread-safe.
class GenerateStreamReactor
    : public StreamWriter<grpc::ServerWriteReactor<v1::GenerateStreamResponse>,
                          v1::GenerateStreamResponse>,
      public GenerateSink {
 public:
  // `model` is lent.
  GenerateStreamReactor(const ServedModel& model, GenerateInput input,
                        const RpcLimits& limits,
                        grpc::CallbackServerContext* context);

  // Submits the job.
  void Run();

  void OnCancel() override;

  void OnBytes(GeneratedBytes bytes) override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnEnd(const absl::Status& status, const GenerateSummary& summary,
             const RequestTiming& timing) override ABSL_LOCKS_EXCLUDED(mutex_);
  bool has_room() const override ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  bool TakeNext(v1::GenerateStreamResponse* response) override
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void OnWritten() override ABSL_LOCKS_EXCLUDED(mutex_);
  int64_t CostOf(const GeneratedBytes& bytes) const;

  const ServedModel& model_;
  const GenerateInput input_;
  const int64_t mark_;  // bytes in memory above which the job pauses
  CancelFlag cancel_;

  v1::GenerateStreamResponse pending_ ABSL_GUARDED_BY(mutex_);
  absl::Time pending_since_ ABSL_GUARDED_BY(mutex_);
  int64_t pending_cost_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t in_flight_cost_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t sent_bytes_ ABSL_GUARDED_BY(mutex_) = 0;  // messages taken to send
  mutable bool has_paused_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace spanlm
