// SPDX-License-Identifier: Apache-2.0
// An Evaluate under way: progress out, at last the result.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "server/jobs/evaluate_job.h"
#include "server/metrics/model_metrics.h"
#include "server/rpc/dataset_store.h"
#include "server/rpc/model_registry.h"
#include "server/rpc/resume_token.h"
#include "server/rpc/stream_writer.h"
#include "spanlm/v1/evaluation.grpc.pb.h"

namespace spanlm {

// What an evaluation reads, and what names it.
struct EvaluationData {
  ReadData read;
  EvaluationIdentity identity;
  FileStamp stamp;                // of a data set
  DatasetStore* store = nullptr;  // learns the digest of a whole data set
};

// A slow reader gets the newest progress only. Deletes itself. Thread-safe.
class EvaluateReactor
    : public StreamWriter<grpc::ServerWriteReactor<v1::EvaluateResponse>,
                          v1::EvaluateResponse>,
      public EvaluateSink {
 public:
  // `model` is lent; `digest` is over what was scored before.
  EvaluateReactor(const ServedModel& model, EvaluateOptions options,
                  EvaluationData data, Sha256 digest,
                  grpc::CallbackServerContext* context);

  // Submits the job.
  void Run(Priority priority);

  void OnCancel() override;

  void OnScored(absl::string_view bytes) override;
  void OnProgress(const EvaluateState& state) override
      ABSL_LOCKS_EXCLUDED(mutex_);
  void OnEnd(const absl::Status& status, const EvaluateState& state,
             const RequestTiming& timing) override ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  bool TakeNext(v1::EvaluateResponse* response) override
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  v1::EvaluateResponse MakeProgress(const EvaluateState& state) const;
  v1::EvaluateResponse MakeResult(const EvaluateState& state,
                                  const RequestTiming& timing) const;

  const ServedModel& model_;
  const EvaluateOptions options_;
  const EvaluationData data_;
  const absl::Time start_;
  CancelFlag cancel_;

  // Scheduler's thread.
  Sha256 digest_;
  std::optional<EvaluationGauges> gauges_;

  std::optional<v1::EvaluateResponse> pending_ ABSL_GUARDED_BY(mutex_);
  int64_t sent_bytes_ ABSL_GUARDED_BY(mutex_) = 0;  // messages taken to send
};

}  // namespace spanlm
