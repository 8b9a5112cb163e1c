// SPDX-License-Identifier: Apache-2.0
// How well a model predicts a text.
#pragma once

#include "server/rpc/model_registry.h"
#include "server/server_options.h"
#include "spanlm/v1/scoring.grpc.pb.h"

namespace spanlm {

// Thread-safe.
class ScoringService : public v1::ScoringService::CallbackService {
 public:
  // `models` is lent.
  ScoringService(const ModelRegistry* models, const RpcLimits& limits)
      : models_(models), limits_(limits) {}

  grpc::ServerUnaryReactor* Score(grpc::CallbackServerContext* context,
                                  const v1::ScoreRequest* request,
                                  v1::ScoreResponse* response) override;
  grpc::ServerBidiReactor<v1::ScoreStreamRequest, v1::ScoreStreamResponse>*
  ScoreStream(grpc::CallbackServerContext* context) override;

 private:
  const ModelRegistry* const models_;
  const RpcLimits limits_;
};

}  // namespace spanlm
