// SPDX-License-Identifier: Apache-2.0
// Bits per byte of whole data sets.
#pragma once

#include "server/rpc/dataset_store.h"
#include "server/rpc/model_registry.h"
#include "spanlm/v1/evaluation.grpc.pb.h"

namespace spanlm {

// Thread-safe.
class EvaluationService : public v1::EvaluationService::CallbackService {
 public:
  // Both are lent.
  EvaluationService(const ModelRegistry* models, DatasetStore* datasets)
      : models_(models), datasets_(datasets) {}

  grpc::ServerWriteReactor<v1::EvaluateResponse>* Evaluate(
      grpc::CallbackServerContext* context,
      const v1::EvaluateRequest* request) override;
  grpc::ServerUnaryReactor* ListDatasets(
      grpc::CallbackServerContext* context,
      const v1::ListDatasetsRequest* request,
      v1::ListDatasetsResponse* response) override;

 private:
  const ModelRegistry* const models_;
  DatasetStore* const datasets_;
};

}  // namespace spanlm
