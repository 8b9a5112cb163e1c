// SPDX-License-Identifier: Apache-2.0
// Bits per byte of whole data sets.
#pragma once

#include "server/rpc/dataset_store.h"
#include "server/rpc/model_registry.h"
#include "server/server_options.h"
#include "spanlm/v1/evaluation.grpc.pb.h"

namespace spanlm {

// Thread-safe.
class EvaluationService : public v1::EvaluationService::CallbackService {
 public:
  // `models` and `datasets` are lent.
  EvaluationService(const ModelRegistry* models, const RpcLimits& limits,
                    DatasetStore* datasets)
      : models_(models), limits_(limits), datasets_(datasets) {}

  grpc::ServerWriteReactor<v1::EvaluateResponse>* Evaluate(
      grpc::CallbackServerContext* context,
      const v1::EvaluateRequest* request) override;
  grpc::ServerUnaryReactor* ListDatasets(
      grpc::CallbackServerContext* context,
      const v1::ListDatasetsRequest* request,
      v1::ListDatasetsResponse* response) override;

 private:
  const ModelRegistry* const models_;
  const RpcLimits limits_;
  DatasetStore* const datasets_;
};

}  // namespace spanlm
