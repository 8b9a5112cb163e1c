// SPDX-License-Identifier: Apache-2.0
// Texts that a model writes.
#pragma once

#include "server/rpc/model_registry.h"
#include "server/server_options.h"
#include "spanlm/v1/generation.grpc.pb.h"

namespace spanlm {

// Thread-safe.
class GenerationService : public v1::GenerationService::CallbackService {
 public:
  // `models` is lent.
  GenerationService(const ModelRegistry* models, const RpcLimits& limits)
      : models_(models), limits_(limits) {}

  grpc::ServerUnaryReactor* Generate(grpc::CallbackServerContext* context,
                                     const v1::GenerateRequest* request,
                                     v1::GenerateResponse* response) override;
  grpc::ServerWriteReactor<v1::GenerateStreamResponse>* GenerateStream(
      grpc::CallbackServerContext* context,
      const v1::GenerateStreamRequest* request) override;

 private:
  const ModelRegistry* const models_;
  const RpcLimits limits_;
};

}  // namespace spanlm
