// SPDX-License-Identifier: Apache-2.0
// What the server serves.
#pragma once

#include "server/rpc/model_registry.h"
#include "spanlm/v1/model.grpc.pb.h"

namespace spanlm {

// Thread-safe.
class ModelService : public v1::ModelService::CallbackService {
 public:
  // `models` is lent.
  explicit ModelService(const ModelRegistry* models) : models_(models) {}

  grpc::ServerUnaryReactor* ListModels(
      grpc::CallbackServerContext* context,
      const v1::ListModelsRequest* request,
      v1::ListModelsResponse* response) override;
  grpc::ServerUnaryReactor* GetModel(grpc::CallbackServerContext* context,
                                     const v1::GetModelRequest* request,
                                     v1::GetModelResponse* response) override;

 private:
  const ModelRegistry* const models_;
};

}  // namespace spanlm
