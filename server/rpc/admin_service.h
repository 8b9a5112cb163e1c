// SPDX-License-Identifier: Apache-2.0
// Control of the running server: declared, not built in yet.
#pragma once

#include "spanlm/v1/admin.grpc.pb.h"

namespace spanlm {

// Answers UNIMPLEMENTED with reason OPTION to every call. Thread-safe.
class AdminService : public v1::AdminService::CallbackService {
 public:
  grpc::ServerUnaryReactor* LoadModel(grpc::CallbackServerContext* context,
                                      const v1::LoadModelRequest* request,
                                      v1::LoadModelResponse* response) override;
  grpc::ServerUnaryReactor* UnloadModel(
      grpc::CallbackServerContext* context,
      const v1::UnloadModelRequest* request,
      v1::UnloadModelResponse* response) override;
  grpc::ServerUnaryReactor* SetModelAlias(
      grpc::CallbackServerContext* context,
      const v1::SetModelAliasRequest* request,
      v1::SetModelAliasResponse* response) override;
  grpc::ServerUnaryReactor* Drain(grpc::CallbackServerContext* context,
                                  const v1::DrainRequest* request,
                                  v1::DrainResponse* response) override;
  grpc::ServerUnaryReactor* SetLogLevel(
      grpc::CallbackServerContext* context,
      const v1::SetLogLevelRequest* request,
      v1::SetLogLevelResponse* response) override;
  grpc::ServerUnaryReactor* GetServerInfo(
      grpc::CallbackServerContext* context,
      const v1::GetServerInfoRequest* request,
      v1::GetServerInfoResponse* response) override;
  grpc::ServerUnaryReactor* ListRequests(
      grpc::CallbackServerContext* context,
      const v1::ListRequestsRequest* request,
      v1::ListRequestsResponse* response) override;
  grpc::ServerUnaryReactor* CancelRequest(
      grpc::CallbackServerContext* context,
      const v1::CancelRequestRequest* request,
      v1::CancelRequestResponse* response) override;
};

}  // namespace spanlm
